#include "grammar/json_tape.h"

#include "grammar/character_set.h"
#include "ground/status.h"
#include "text/characters.h"

namespace pith::internal {
namespace {

int32_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

uint32_t hash_of(std::string_view escaped) {  // FNV-1a
  uint32_t hash = 0x811c9dc5u, c = 0;
  for (JsonCharacters characters(escaped); characters.next(&c);) hash = (hash ^ c) * 0x01000193u;
  return hash;
}

}  // namespace

bool JsonCharacters::next_hex(uint32_t* unit) {
  if (rest_.size() < 4) return false;
  *unit = 0;
  for (uint32_t i = 0; i < 4; ++i) {
    const int32_t digit = hex_digit(rest_[i]);
    if (digit < 0) return false;
    *unit = *unit << 4 | uint32_t(digit);
  }
  rest_ = from(rest_, 4);
  return true;
}

bool JsonCharacters::next_escape(uint32_t* character) {
  if (rest_.empty()) return false;
  const char c = rest_[0];
  rest_ = from(rest_, 1);
  switch (c) {
    case '"':
    case '\\':
    case '/': *character = uint8_t(c); return true;
    case 'b': *character = '\b'; return true;
    case 'f': *character = '\f'; return true;
    case 'n': *character = '\n'; return true;
    case 'r': *character = '\r'; return true;
    case 't': *character = '\t'; return true;
    case 'u': break;
    default: return false;
  }
  if (!next_hex(character)) return false;
  if (*character < 0xd800 || *character > 0xdfff) return true;
  uint32_t low = 0;
  if (*character > 0xdbff || !rest_.starts_with("\\u")) return false;
  rest_ = from(rest_, 2);
  if (!next_hex(&low) || low < 0xdc00 || low > 0xdfff) return false;
  *character = 0x10000 + ((*character - 0xd800) << 10) + (low - 0xdc00);
  return true;
}

bool JsonCharacters::next(uint32_t* character) {
  if (rest_.empty()) return false;
  if (rest_[0] == '\\') {
    const std::string_view before = rest_;
    rest_ = from(rest_, 1);
    if (next_escape(character)) return true;
    rest_ = before;
    return false;
  }
  const Character c = character_at(rest_, 0);
  if (c.code >= kNoCharacter || c.code < 0x20) return false;
  rest_ = from(rest_, c.bytes);
  *character = c.code;
  return true;
}

bool json_equal(std::string_view escaped, std::string_view other_escaped) {
  JsonCharacters a(escaped), b(other_escaped);
  for (;;) {
    uint32_t x = kNoCharacter, y = kNoCharacter;
    const bool has_x = a.next(&x), has_y = b.next(&y);
    if (has_x != has_y || x != y) return false;
    if (!has_x) return true;
  }
}

bool json_equals(std::string_view escaped, std::string_view text) {
  JsonCharacters characters(escaped);
  size_t at = 0;
  for (uint32_t c = 0; characters.next(&c);) {
    uint8_t bytes[4];
    const uint32_t n = write_utf8(c, bytes);
    for (uint32_t i = 0; i < n; ++i, ++at) {
      if (at >= text.size() || uint8_t(text[at]) != bytes[i]) return false;
    }
  }
  return at == text.size();
}

bool json_less(std::string_view escaped, std::string_view other_escaped) {
  JsonCharacters a(escaped), b(other_escaped);
  for (;;) {
    uint32_t x = 0, y = 0;
    const bool has_x = a.next(&x), has_y = b.next(&y);
    if (!has_x || !has_y) return has_y;
    if (x != y) return x < y;
  }
}

struct JsonTape::Cursor {
  std::string_view text;
  const char* what;
  size_t at = 0;
  uint32_t line = 1;

  char peek() const { return at < text.size() ? text[at] : '\0'; }
  bool take(std::string_view word) {
    if (!from(text, at).starts_with(word)) return false;
    at += word.size();
    return true;
  }
  void skip_blanks() {
    for (; peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r'; ++at) line += peek() == '\n' ? 1 : 0;
  }
  template <typename... Pieces>
  pith_status refuse(pith_error* error, const Pieces&... pieces) const {
    return fail(error, PITH_E_GRAMMAR, what, ": line ", line, ": ", pieces...);
  }
  // A string, without its quotes.
  pith_status read_string(std::string_view* out, pith_error* error) {
    if (!take("\"")) return refuse(error, "a key in quotes is missing");
    const size_t first = at;
    while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
    if (at >= text.size()) return refuse(error, "a string lacks its end");
    *out = from(text, first, at - first);
    ++at;
    uint32_t c = 0;
    JsonCharacters characters(*out);
    while (characters.next(&c)) {
    }
    if (!characters.is_at_end())
      return refuse(error, "a string has a control character, an unknown escape or what is no Unicode");
    return PITH_OK;
  }
  pith_status read_number(pith_error* error) {
    const auto digits = [&] {
      const size_t first = at;
      while (is_digit(peek())) ++at;
      return at > first;
    };
    (void)take("-");
    bool good = take("0") || digits();
    if (good && take(".")) good = digits();
    if (good && (take("e") || take("E"))) {
      if (!take("+")) (void)take("-");
      good = digits();
    }
    return good ? PITH_OK : refuse(error, "a number is not as JSON has it");
  }
};

pith_status JsonTape::read(std::string_view text, const char* what, pith_error* error) {
  n_values_ = 0;
  Cursor c{text, what};
  c.skip_blanks();
  PITH_TRY(read_value(&c, 0, {}, error));
  if (values_[0].is_container()) PITH_TRY(read_members(&c, error));
  c.skip_blanks();
  return c.at == text.size() ? PITH_OK : c.refuse(error, "something follows the document");
}

// A value without what is in it.
pith_status JsonTape::read_value(Cursor* c, uint32_t parent, std::string_view key, pith_error* error) {
  const uint32_t index = n_values_++;
  JsonValue& value = values_[index];
  value = {JsonType::null, parent, n_values_, 0, key, {}};
  const size_t first = c->at;
  switch (c->peek()) {
    case '{': value.type = JsonType::object; break;
    case '[': value.type = JsonType::array; break;
    case '"': value.type = JsonType::string; return c->read_string(&value.text, error);
    default:
      if (c->take("null")) value.type = JsonType::null;
      else if (c->take("true")) value.type = JsonType::true_value;
      else if (c->take("false")) value.type = JsonType::false_value;
      else {
        value.type = JsonType::number;
        if (c->peek() != '-' && !is_digit(c->peek())) return c->refuse(error, "a value is missing");
        PITH_TRY(c->read_number(error));
      }
      value.text = from(c->text, first, c->at - first);
      return PITH_OK;
  }
  ++c->at;
  return PITH_OK;
}

// All that is in the root.
pith_status JsonTape::read_members(Cursor* c, pith_error* error) {
  uint32_t open = 0, depth = 1;
  bool is_first = true;  // in the container that is open
  while (depth > 0) {
    const bool is_object = values_[open].type == JsonType::object;
    c->skip_blanks();
    if (c->take(is_object ? "}" : "]")) {
      values_[open].end = n_values_;
      open = values_[open].parent;
      --depth;
      is_first = false;
      continue;
    }
    if (!is_first && !c->take(",")) return c->refuse(error, "\",\" or \"", is_object ? "}" : "]", "\" is missing");
    c->skip_blanks();
    std::string_view key;
    if (is_object) {
      PITH_TRY(c->read_string(&key, error));
      c->skip_blanks();
      if (!c->take(":")) return c->refuse(error, "\":\" is missing");
      c->skip_blanks();
    }
    const uint32_t value = n_values_;
    PITH_TRY(read_value(c, open, key, error));
    if (is_object) PITH_TRY(check_key(value, *c, error));
    is_first = values_[value].is_container();
    if (!is_first) continue;
    open = value;
    if (++depth > kMaxDepth) return c->refuse(error, "more than ", kMaxDepth, " values within each other");
  }
  return PITH_OK;
}

// A key stands once in an object.
pith_status JsonTape::check_key(uint32_t value, const Cursor& c, pith_error* error) const {
  JsonValue& v = values_[value];
  v.key_hash = hash_of(v.key);
  uint32_t n = 0;
  for (uint32_t i = first(v.parent); i != value; i = next(i), ++n) {
    if (values_[i].key_hash == v.key_hash && json_equal(values_[i].key, v.key))
      return c.refuse(error, "the key \"", v.key, "\" stands twice in its object");
  }
  return n < kMaxMembers ? PITH_OK : c.refuse(error, "an object of more than ", kMaxMembers, " members");
}

uint32_t JsonTape::find(uint32_t object, std::string_view key) const {
  if (values_[object].type != JsonType::object) return 0;
  for (uint32_t i = first(object); i != end(object); i = next(i)) {
    if (json_equals(values_[i].key, key)) return i;
  }
  return 0;
}

uint32_t JsonTape::find_escaped(uint32_t object, std::string_view escaped_key) const {
  if (values_[object].type != JsonType::object) return 0;
  const uint32_t hash = hash_of(escaped_key);
  for (uint32_t i = first(object); i != end(object); i = next(i)) {
    if (values_[i].key_hash == hash && json_equal(values_[i].key, escaped_key)) return i;
  }
  return 0;
}

uint32_t JsonTape::count(uint32_t of) const {
  uint32_t n = 0;
  for (uint32_t i = first(of); i != end(of); i = next(i)) ++n;
  return n;
}

}  // namespace pith::internal
