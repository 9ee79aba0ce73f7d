#include "grammar/gbnf_reader.h"

#include "ground/status.h"
#include "text/characters.h"

namespace pith::internal {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

int32_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

template <typename... Pieces>
pith_status GbnfReader::refuse(pith_error* error, const Pieces&... pieces) const {
  return fail(error, PITH_E_GRAMMAR, "grammar: line ", line_, ": ", pieces...);
}

bool GbnfReader::take(std::string_view word) {
  if (at_end() || !from(text_, at_).starts_with(word)) return false;
  at_ += word.size();
  return true;
}

void GbnfReader::skip_blanks() {
  while (peek() == ' ' || peek() == '\t' || peek() == '\r') ++at_;
  if (peek() != '#') return;
  while (!at_end() && peek() != '\n') ++at_;
}

void GbnfReader::skip_lines() {
  for (skip_blanks(); !at_end() && peek() == '\n'; skip_blanks()) {
    ++at_;
    ++line_;
  }
}

bool GbnfReader::goes_on_with_bar() {
  const size_t at = at_;
  const uint32_t line = line_;
  skip_lines();
  if (peek() == '|') return true;
  at_ = at;
  line_ = line;
  return false;
}

std::string_view GbnfReader::take_name() {
  const size_t first = at_;
  while (!at_end() && is_name_character(peek())) ++at_;
  return from(text_, first, at_ - first);
}

pith_status GbnfReader::read(pith_error* error) {
  for (skip_lines(); !at_end() && !writer_->is_full(); skip_lines()) PITH_TRY(read_rule(error));
  return PITH_OK;
}

pith_status GbnfReader::read_rule(pith_error* error) {
  const std::string_view name = take_name();
  if (name.empty()) return refuse(error, "a rule begins with its name, not with \"", from(text_, at_, 8), "\"");
  skip_blanks();
  if (!take("::=")) return refuse(error, "\"::=\" must follow the name \"", name, "\"");
  const uint32_t rule = names_->find(name, line_, writer_);
  if (rule == kNone) return PITH_OK;  // the writer is full, and says so
  if (names_->is_defined(rule)) return refuse(error, "rule \"", name, "\" is defined twice");
  writer_->begin_rule(rule);
  skip_lines();
  PITH_TRY(read_alternatives(error));
  writer_->end_rule();
  return PITH_OK;
}

// Up to the end of the rule.
pith_status GbnfReader::read_alternatives(pith_error* error) {
  Group groups[kMaxGroups];
  uint32_t n_groups = 1, last = kNone;  // last: where what a repetition repeats begins
  groups[0] = {writer_->begin_alternatives(), writer_->here(), line_};
  for (;;) {
    skip_blanks();
    if (at_end() || peek() == '\n') {
      if (n_groups == 1 && (at_end() || !goes_on_with_bar())) break;
      if (at_end()) return refuse(error, "the group of line ", groups[n_groups - 1].line, " lacks its \")\"");
      skip_lines();
      if (at_end()) return refuse(error, "the group of line ", groups[n_groups - 1].line, " lacks its \")\"");
    }
    PITH_TRY(read_item(groups, &n_groups, &last, error));
    if (writer_->is_full()) return PITH_OK;
  }
  writer_->end_alternatives(groups[0].alternatives);
  return PITH_OK;
}

pith_status GbnfReader::read_item(Group* groups, uint32_t* n_groups, uint32_t* last, pith_error* error) {
  const uint32_t begin = writer_->here();
  Group& group = groups[*n_groups - 1];
  const char c = peek();
  if (c == '|') {
    ++at_;
    writer_->next_alternative(&group.alternatives);
    *last = kNone;
    skip_lines();
    return PITH_OK;
  }
  if (c == '(') {
    ++at_;
    if (*n_groups == kMaxGroups) return refuse(error, "more than ", kMaxGroups, " groups within each other");
    groups[(*n_groups)++] = {writer_->begin_alternatives(), begin, line_};
    *last = kNone;
    return PITH_OK;
  }
  if (c == ')') {
    ++at_;
    if (*n_groups == 1) return refuse(error, "a \")\" that closes no group");
    writer_->end_alternatives(group.alternatives);
    *last = group.begin;
    --*n_groups;
    return PITH_OK;
  }
  uint32_t least = 0, most = 0;
  if (c == '*' || c == '+' || c == '?' || c == '{') {
    if (*last == kNone) return refuse(error, "nothing stands before the repetition");
    PITH_TRY(read_times(&least, &most, error));
    writer_->repeat(*last, least, most);
    return PITH_OK;
  }
  *last = begin;
  if (c == '"') return read_literal(error);
  if (c == '[') return read_class(error);
  if (c == '.') {
    ++at_;
    CharacterSet any;
    any.negate();
    writer_->put_characters(any);
    return PITH_OK;
  }
  if (c == '<' || c == '!')
    return fail(error, PITH_E_UNSUPPORTED, "grammar: line ", line_, ": tokens by number or name are not supported");
  const std::string_view name = take_name();
  if (name.empty()) return refuse(error, "\"", from(text_, at_, 8), "\" is not understood");
  writer_->put_call(names_->find(name, line_, writer_));
  return PITH_OK;
}

pith_status GbnfReader::read_times(uint32_t* least, uint32_t* most, pith_error* error) {
  const char c = peek();
  ++at_;
  *least = c == '+' ? 1 : 0;
  *most = c == '?' ? 1 : ProgramWriter::kUnbounded;
  if (c != '{') return PITH_OK;
  skip_blanks();
  PITH_TRY(read_number(least, error));
  *most = *least;
  skip_blanks();
  if (take(",")) {
    skip_blanks();
    *most = ProgramWriter::kUnbounded;
    if (peek() != '}') PITH_TRY(read_number(most, error));
    skip_blanks();
  }
  if (!take("}")) return refuse(error, "a repetition lacks its \"}\"");
  if (*most < *least) return refuse(error, "a repetition of at least ", *least, " and at most ", *most);
  return PITH_OK;
}

pith_status GbnfReader::read_number(uint32_t* out, pith_error* error) {
  uint32_t value = 0, n = 0;
  for (; peek() >= '0' && peek() <= '9'; ++at_, ++n) {
    value = value * 10 + uint32_t(peek() - '0');
    if (value > kMaxTimes) return refuse(error, "a repetition of more than ", kMaxTimes);
  }
  if (n == 0) return refuse(error, "a repetition needs a number after its \"{\" and \",\"");
  *out = value;
  return PITH_OK;
}

pith_status GbnfReader::read_literal(pith_error* error) {
  ++at_;
  while (peek() != '"') {
    uint32_t c = 0;
    PITH_TRY(read_character(&c, error));
    writer_->put_character(c);
  }
  ++at_;
  return PITH_OK;
}

pith_status GbnfReader::read_class(pith_error* error) {
  ++at_;
  CharacterSet set;
  const bool is_negative = take("^");
  if (peek() == ']') return refuse(error, "a class of no characters");
  while (peek() != ']' && !set.is_full()) {
    uint32_t first = 0, last = 0;
    PITH_TRY(read_character(&first, error));
    last = first;
    if (peek() == '-' && peek(1) != ']') {
      ++at_;
      PITH_TRY(read_character(&last, error));
      if (last < first) return refuse(error, "a range of a class whose end comes before its beginning");
    }
    set.add(first, last);
  }
  ++at_;
  if (is_negative) set.negate();
  if (set.is_full()) return refuse(error, "a class of more than ", CharacterSet::kMaxRanges, " ranges");
  writer_->put_characters(set);
  return PITH_OK;
}

// One character of a literal or class.
pith_status GbnfReader::read_character(uint32_t* out, pith_error* error) {
  if (at_end() || peek() == '\n') return refuse(error, "a literal or class does not end on its line");
  if (peek() != '\\') return read_utf8(out, error);
  const char c = peek(1);
  at_ += 2;
  switch (c) {
    case 'x': return read_hex(2, out, error);
    case 'u': return read_hex(4, out, error);
    case 'U': return read_hex(8, out, error);
    case 'n': *out = '\n'; return PITH_OK;
    case 'r': *out = '\r'; return PITH_OK;
    case 't': *out = '\t'; return PITH_OK;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^': *out = uint8_t(c); return PITH_OK;
    default: break;
  }
  const char escape[] = {c};
  return refuse(error, "the escape \"\\", std::string_view(escape, 1), "\" is not known");
}

pith_status GbnfReader::read_hex(uint32_t n_digits, uint32_t* out, pith_error* error) {
  *out = 0;
  for (uint32_t i = 0; i < n_digits; ++i, ++at_) {
    const int32_t digit = hex_digit(peek());
    if (digit < 0) return refuse(error, "an escape needs ", n_digits, " hexadecimal digits");
    *out = *out << 4 | uint32_t(digit);
  }
  if (*out > kMaxCharacter || (*out >= 0xd800 && *out < 0xe000))
    return refuse(error, "an escape that is no character of Unicode");
  return PITH_OK;
}

pith_status GbnfReader::read_utf8(uint32_t* out, pith_error* error) {
  const Character c = character_at(text_, at_);
  if (c.code >= kNoCharacter) return refuse(error, "bytes that are not UTF-8");
  at_ += c.bytes;
  *out = c.code;
  return PITH_OK;
}

}  // namespace pith::internal
