#include "grammar/schema_compiler.h"

#include <algorithm>

#include "grammar/json_text.h"
#include "grammar/pattern_compiler.h"
#include "grammar/schema_words.h"
#include "ground/status.h"
#include "text/byte_hash.h"
#include "text/characters.h"

namespace pith::internal {

// Numbers are bounded: a model could write digits for ever.
std::string_view SchemaCompiler::common_rules() {
  return R"(ws ::= | " " | "\n" [ \t]{0,40}
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)* ws)? "}"
member ::= string ":" ws value
array ::= "[" ws (value ("," ws value)* ws)? "]"
string ::= "\"" char* "\""
char ::= plain | "\\" (["\\/bfnrt] | "u" unit)
plain ::= [^"\\\x00-\x1f]
unit ::= [0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2} | [dD] [89abAB] hex{2} "\\u" [dD] [c-fC-F] hex{2}
hex ::= [0-9a-fA-F]
number ::= integer ("." [0-9]{1,17})? ([eE] [+\-]? [0-9]{1,2})?
integer ::= "-"? ("0" | [1-9] [0-9]{0,18})
key-end ::= plain* "\""
wide ::= [^\x00-\x7f]
)";
}

void SchemaCompiler::lay_out(size_t text_bytes, const Program& program, Arena* arena) {
  tape_.lay_out(text_bytes, arena);
  max_parts_ = 2 * program.max_rules;
  uint32_t n_slots = 16;
  while (n_slots < 2 * program.max_rules) n_slots *= 2;
  slot_mask_ = n_slots - 1;
  sources_ = arena->take<Source>(program.max_rules);
  parts_ = arena->take<Part>(max_parts_);
  slots_ = arena->take<uint32_t>(n_slots);
  properties_ = arena->take<Property>(program.max_rules);
  pattern_ = arena->take<uint32_t>(PatternCompiler::kMaxCharacters);
}

pith_status SchemaCompiler::compile(std::string_view text, Program* program, RuleNames* names, ProgramWriter* writer,
                                    pith_error* error) {
  program_ = program;
  writer_ = writer;
  n_common_ = program->n_rules;
  n_parts_ = n_properties_ = 0;
  std::fill(slots_, slots_ + slot_mask_ + 1, kNone);
  const auto common = [&](std::string_view name) { return names->find(name, 0, writer); };
  ws_ = common("ws");
  any_ = common("value");
  object_ = common("object");
  array_ = common("array");
  string_ = common("string");
  char_ = common("char");
  number_ = common("number");
  integer_ = common("integer");
  key_end_ = common("key-end");
  wide_ = common("wide");
  PITH_TRY(tape_.read(text, "schema", error));
  Parts root;
  PITH_TRY(add_part(&root, 0, 0, 0, error));
  PITH_TRY(find_rule(&root, &program->root, error));
  if (root.fits_nothing) return refuse(0, PITH_E_GRAMMAR, error, "nothing fits this schema");
  for (uint32_t rule = n_common_; rule < program->n_rules && !writer->is_full(); ++rule)
    PITH_TRY(write_rule(rule, error));
  return PITH_OK;
}

// ---- Errors

// "/properties/a", cut in front where it is long.
size_t SchemaCompiler::write_pointer(uint32_t value, char* out, size_t capacity) const {
  uint32_t chain[JsonTape::kMaxDepth + 1], n = 0;
  for (uint32_t v = value; v != 0; v = tape_[v].parent) chain[n++] = v;
  size_t used = 0;
  const auto put = [&](std::string_view text) {
    for (const char c : text) {
      if (used < capacity) out[used++] = c;
    }
  };
  while (n > 0) {
    const uint32_t v = chain[--n], parent = tape_[v].parent;
    put("/");
    if (tape_[parent].type == JsonType::object) {
      put(tape_[v].key);
      continue;
    }
    uint32_t index = 0;
    for (uint32_t i = tape_.first(parent); i != v; i = tape_.next(i)) ++index;
    char digits[10];
    size_t at = sizeof digits;
    do digits[--at] = char('0' + index % 10);
    while ((index /= 10) > 0);
    put({digits + at, sizeof digits - at});
  }
  return used;
}

pith_status SchemaCompiler::refuse_rule(uint32_t rule, pith_status status, const char* why, pith_error* error) const {
  const bool is_common = rule < n_common_ || rule >= program_->n_rules;
  return refuse(is_common ? 0 : program_->rules[rule].origin, status, error, why);
}

// ---- Parts

// A part that part `from` has brought, at a place behind it.
pith_status SchemaCompiler::add_part(Parts* parts, uint32_t value, uint32_t from, uint32_t place,
                                     pith_error* error) const {
  const JsonType type = tape_[value].type;
  if (type == JsonType::true_value) return PITH_OK;
  if (type == JsonType::false_value) {
    parts->fits_nothing = true;
    return PITH_OK;
  }
  if (type != JsonType::object) return refuse(value, PITH_E_GRAMMAR, error, "a schema is an object, true or false");
  for (uint32_t i = 0; i < parts->count; ++i) {
    if (parts->list[i].value != value) continue;
    bool is_circle = (parts->list[i].done & (kAnyOf | kOneOf)) != 0;
    for (uint32_t j = from; !is_circle; j = parts->from[j]) {
      is_circle = j == i;
      if (parts->from[j] == j) break;
    }
    if (is_circle) return refuse(value, PITH_E_GRAMMAR, error, "this schema refers to itself for the same value");
    return PITH_OK;
  }
  if (parts->count == kMaxParts)
    return refuse(value, PITH_E_LIMIT, error, "more than ", kMaxParts, " schemas for one value (allOf, $ref)");
  for (uint32_t i = parts->count++; i > place; --i) {
    parts->list[i] = parts->list[i - 1];
    parts->from[i] = uint8_t(parts->from[i - 1] + (parts->from[i - 1] >= place ? 1 : 0));
  }
  parts->list[place] = {value, 0};
  parts->from[place] = uint8_t(from);
  return check_words(value, error);
}

pith_status SchemaCompiler::check_words(uint32_t schema, pith_error* error) const {
  for (uint32_t i = tape_.first(schema); i != tape_.end(schema); i = tape_.next(i)) {
    if (tape_[i].key.starts_with("x-")) continue;
    if (json_equals(tape_[i].key, "$schema") && tape_[i].text.find("json-schema.org/") == std::string_view::npos)
      return refuse(i, PITH_E_UNSUPPORTED, error, "a vocabulary other than json-schema.org's is not supported");
    switch (find_word(tape_[i].key)) {
      case SchemaWord::annotation:
      case SchemaWord::held: continue;
      case SchemaWord::false_or_zero:
        if (tape_[i].type == JsonType::false_value || tape_[i].text == "0") continue;
        break;
      case SchemaWord::true_or_empty:
        if (tape_[i].type == JsonType::true_value || (tape_[i].type == JsonType::object && tape_.count(i) == 0))
          continue;
        break;
      case SchemaWord::unknown: break;
    }
    return refuse(i, PITH_E_UNSUPPORTED, error, "\"", tape_[i].key, "\" is not supported; docs/grammar.md has what is");
  }
  return PITH_OK;
}

// `$ref` and `allOf` of all parts, and no part that says nothing.
pith_status SchemaCompiler::take_apart(Parts* parts, pith_error* error) {
  for (uint32_t i = 0; i < parts->count; ++i) {
    const uint32_t value = parts->list[i].value, done = parts->list[i].done;
    uint32_t place = i + 1;  // what it brings stands behind it, in order
    const auto add = [&](uint32_t v) {
      const uint32_t before = parts->count;
      const pith_status status = add_part(parts, v, i, place, error);
      place += parts->count - before;
      return status;
    };
    parts->list[i].done |= kRef | kAllOf;
    if (const uint32_t reference = tape_.find(value, "$ref"); reference != 0 && (done & kRef) == 0) {
      uint32_t target = 0;
      PITH_TRY(find_target(reference, &target, error));
      PITH_TRY(add(target));
    }
    const uint32_t all = tape_.find(value, "allOf");
    if (all == 0 || (done & kAllOf) != 0) continue;
    if (tape_[all].type != JsonType::array) return refuse(all, PITH_E_GRAMMAR, error, "not an array of schemas");
    for (uint32_t v = tape_.first(all); v != tape_.end(all); v = tape_.next(v)) PITH_TRY(add(v));
  }
  uint32_t n = 0;
  for (uint32_t i = 0; i < parts->count; ++i) {
    if (!says_something(parts->list[i])) continue;
    parts->list[n] = parts->list[i];
    parts->from[n] = uint8_t(n);
    ++n;
  }
  parts->count = n;
  return PITH_OK;
}

bool SchemaCompiler::says_something(const Part& part) const {
  for (uint32_t i = tape_.first(part.value); i != tape_.end(part.value); i = tape_.next(i)) {
    const std::string_view key = tape_[i].key;
    if (find_word(key) != SchemaWord::held) continue;
    uint32_t done = 0;
    if (json_equals(key, "$ref")) done = kRef;
    else if (json_equals(key, "allOf")) done = kAllOf;
    else if (json_equals(key, "anyOf")) done = kAnyOf;
    else if (json_equals(key, "oneOf")) done = kOneOf;
    if ((part.done & done) == 0) return true;
  }
  return false;
}

// The value that a JSON pointer within this document means.
pith_status SchemaCompiler::find_target(uint32_t reference, uint32_t* out, pith_error* error) const {
  const auto refuse_it = [&](pith_status status, const char* why) { return refuse(reference, status, error, why); };
  if (tape_[reference].type != JsonType::string) return refuse_it(PITH_E_GRAMMAR, "not a string");
  for (uint32_t v = tape_[reference].parent; v != 0; v = tape_[v].parent) {
    const uint32_t id = tape_.find(v, "$id");
    if (id != 0 && tape_[id].type == JsonType::string)
      return refuse_it(PITH_E_UNSUPPORTED, "a reference within a schema that has an $id of its own is not supported");
  }
  char text[512];
  size_t n = 0;
  uint32_t c = 0;
  for (JsonCharacters characters(tape_[reference].text); characters.next(&c);) {
    if (n + 4 > sizeof text) return refuse_it(PITH_E_LIMIT, "a reference of more than 500 bytes");
    uint8_t bytes[4];
    const uint32_t n_bytes = write_utf8(c, bytes);
    for (uint32_t i = 0; i < n_bytes; ++i) text[n++] = char(bytes[i]);
  }
  n = unescape_percents(text, n);
  const std::string_view pointer(text, n);
  if (pointer != "#" && !pointer.starts_with("#/"))
    return refuse_it(PITH_E_UNSUPPORTED, "references lead to \"#\" or \"#/...\", within this document, alone");
  *out = 0;
  for (size_t at = 1; at < n;) {
    size_t end = ++at;
    while (end < n && text[end] != '/') ++end;
    const size_t n_token = unescape_tildes(text + at, end - at);
    *out = step_into(tape_, *out, {text + at, n_token});
    if (*out == 0) return refuse_it(PITH_E_GRAMMAR, "it leads to nothing in this document");
    at = end;
  }
  return PITH_OK;
}

// ---- Rules

uint32_t SchemaCompiler::add_source(const Source& source, uint32_t origin) {
  const uint32_t rule = writer_->add_rule({kNone, origin, {}});
  if (rule != kNone) sources_[rule] = source;
  return rule;
}

pith_status SchemaCompiler::find_rule(Parts* parts, uint32_t* rule, pith_error* error) {
  *rule = kNone;
  PITH_TRY(take_apart(parts, error));
  if (parts->fits_nothing) return PITH_OK;
  if (parts->count == 0) {
    *rule = any_;
    return PITH_OK;
  }
  uint64_t hash = 0;
  for (uint32_t i = 0; i < parts->count; ++i)
    hash = mix(hash ^ (uint64_t(parts->list[i].value) << 8 | parts->list[i].done)) + i;
  for (uint32_t i = uint32_t(hash);; ++i) {
    uint32_t& slot = slots_[i & slot_mask_];
    if (slot != kNone) {
      const Source& source = sources_[slot];
      const Part* own = parts_ + source.first;
      if (source.count != parts->count || !std::equal(own, own + source.count, parts->list)) continue;
      *rule = slot;
      return PITH_OK;
    }
    if (n_parts_ + parts->count > max_parts_)
      return refuse(parts->list[0].value, PITH_E_LIMIT, error, "too many rules; raise max_states");
    const uint32_t added = add_source({n_parts_, parts->count, 0, false}, parts->list[0].value);
    if (added == kNone) return PITH_OK;  // the writer is full, and says so
    std::copy(parts->list, parts->list + parts->count, parts_ + n_parts_);
    n_parts_ += parts->count;
    *rule = slot = added;
    return PITH_OK;
  }
}

void SchemaCompiler::put_call(uint32_t rule) {
  if (rule == kNone) writer_->put_fail();
  else writer_->put_call(rule);
}

pith_status SchemaCompiler::write_rule(uint32_t rule, pith_error* error) {
  const Source source = sources_[rule];
  writer_->begin_rule(rule);
  if (source.is_key) {
    PITH_TRY(write_key_rest(source, error));
    writer_->end_rule();
    return PITH_OK;
  }
  Parts parts;
  parts.count = source.count;
  for (uint32_t i = 0; i < source.count; ++i) {
    parts.list[i] = parts_[source.first + i];
    parts.from[i] = uint8_t(i);
  }
  for (uint32_t i = 0; i < parts.count; ++i) {
    for (const bool is_any : {true, false}) {
      const uint32_t done = is_any ? kAnyOf : kOneOf;
      const char* word = is_any ? "anyOf" : "oneOf";
      if ((parts.list[i].done & done) != 0 || tape_.find(parts.list[i].value, word) == 0) continue;
      PITH_TRY(write_branches(parts, i, word, done, error));
      writer_->end_rule();
      return PITH_OK;
    }
  }
  PITH_TRY(write_values(parts, error));
  writer_->end_rule();
  return PITH_OK;
}

pith_status SchemaCompiler::write_branches(const Parts& parts, uint32_t index, const char* word, uint32_t done,
                                           pith_error* error) {
  const uint32_t branches = tape_.find(parts.list[index].value, word);
  if (tape_[branches].type != JsonType::array || tape_.count(branches) == 0)
    return refuse(branches, PITH_E_GRAMMAR, error, "not an array of one schema or more");
  ProgramWriter::Alternatives either = writer_->begin_alternatives();
  for (uint32_t b = tape_.first(branches); b != tape_.end(branches); b = tape_.next(b)) {
    if (b != tape_.first(branches)) writer_->next_alternative(&either);
    Parts branch = parts;
    branch.list[index].done |= done;
    PITH_TRY(add_part(&branch, b, index, branch.count, error));
    uint32_t rule = kNone;
    PITH_TRY(find_rule(&branch, &rule, error));
    put_call(rule);
  }
  writer_->end_alternatives(either);
  return PITH_OK;
}

}  // namespace pith::internal
