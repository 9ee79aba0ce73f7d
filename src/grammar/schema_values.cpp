// SchemaCompiler: what the parts of a rule say about null, booleans, numbers and strings, and lists of values.
#include <algorithm>

#include "grammar/json_text.h"
#include "grammar/pattern_compiler.h"
#include "grammar/schema_compiler.h"
#include "grammar/schema_words.h"
#include "grammar/string_formats.h"
#include "ground/status.h"

namespace pith::internal {

pith_status SchemaCompiler::write_values(const Parts& parts, pith_error* error) {
  Facts facts;
  PITH_TRY(read_facts(parts, &facts, error));
  if (facts.n_values > 0) return write_list(facts, error);
  ProgramWriter::Alternatives either = writer_->begin_alternatives();
  bool is_first = true;
  const auto has = [&](uint32_t types) {
    if ((facts.types & types) == 0) return false;
    if (!is_first) writer_->next_alternative(&either);
    is_first = false;
    return true;
  };
  if (has(kNull)) writer_->put_text("null");
  if (has(kBoolean)) writer_->put_text("true");
  if (has(kBoolean)) writer_->put_text("false");
  if (has(kNumber | kInteger)) PITH_TRY(write_number(facts, error));
  if (has(kString)) PITH_TRY(write_string(facts, error));
  if (has(kArray)) PITH_TRY(write_array(parts, facts, error));
  if (has(kObject)) PITH_TRY(write_object(parts, error));
  if (is_first) writer_->put_fail();
  writer_->end_alternatives(either);
  return PITH_OK;
}

pith_status SchemaCompiler::read_facts(const Parts& parts, Facts* facts, pith_error* error) const {
  for (uint32_t i = 0; i < parts.count; ++i) {
    const uint32_t schema = parts.list[i].value;
    for (uint32_t w = tape_.first(schema); w != tape_.end(schema); w = tape_.next(w))
      PITH_TRY(read_word(w, facts, error));
  }
  if (facts->n_values > 0 && facts->other != 0)
    return refuse(facts->other, PITH_E_UNSUPPORTED, error, "\"", tape_[facts->other].key,
                  "\" beside enum or const is not supported; leave it out, and the values that it would");
  return PITH_OK;
}

pith_status SchemaCompiler::read_word(uint32_t word, Facts* facts, pith_error* error) const {
  const std::string_view key = tape_[word].key;
  const auto is = [&](std::string_view name) { return json_equals(key, name); };
  if (is("type")) return read_types(word, &facts->types, error);
  if (is("enum") || is("const")) {
    if (is("enum") && tape_[word].type != JsonType::array)
      return refuse(word, PITH_E_GRAMMAR, error, "not an array of values");
    if (facts->n_values == kMaxParts)
      return refuse(word, PITH_E_LIMIT, error, "too many lists of values for one value");
    facts->values[facts->n_values++] = word;
    return PITH_OK;
  }
  const bool is_taken_apart = is("$ref") || is("allOf") || is("anyOf") || is("oneOf");
  if (is_taken_apart || key.starts_with("x-") || find_word(key) != SchemaWord::held) return PITH_OK;
  facts->other = word;
  uint32_t count = 0;
  if (is("minimum") || is("maximum") || is("exclusiveMinimum") || is("exclusiveMaximum"))
    return read_bound(word, facts, error);
  if (is("pattern") || is("format")) {
    uint32_t& place = is("pattern") ? facts->pattern : facts->format;
    if (tape_[word].type != JsonType::string) return refuse(word, PITH_E_GRAMMAR, error, "not a string");
    if (place != 0 && !json_equal(tape_[place].text, tape_[word].text))
      return refuse(word, PITH_E_UNSUPPORTED, error, "a second one for the same string is not supported");
    place = word;
    return PITH_OK;
  }
  const bool is_least = is("minLength") || is("minItems"), is_most = is("maxLength") || is("maxItems");
  if (!is_least && !is_most) return PITH_OK;  // of containers
  PITH_TRY(read_count(word, &count, error));
  const bool is_length = is("minLength") || is("maxLength");
  uint32_t& least = is_length ? facts->least_length : facts->least_items;
  uint32_t& most = is_length ? facts->most_length : facts->most_items;
  if (is_least) least = std::max(least, count);
  else most = std::min(most, count);
  if (is_length && (is_most || count > 0)) facts->length = word;
  return PITH_OK;
}

pith_status SchemaCompiler::read_types(uint32_t word, uint32_t* types, pith_error* error) const {
  struct Name {
    std::string_view name;
    uint32_t types;
  };
  constexpr Name kNames[] = {{"null", kNull},     {"boolean", kBoolean}, {"number", kNumber | kInteger},
                             {"string", kString}, {"array", kArray},     {"integer", kInteger},
                             {"object", kObject}};
  uint32_t found = 0;
  const auto add = [&](uint32_t value) {
    for (const Name& n : kNames) {
      if (tape_[value].type != JsonType::string || !json_equals(tape_[value].text, n.name)) continue;
      found |= n.types;
      return true;
    }
    return false;
  };
  bool good = true;
  if (tape_[word].type == JsonType::array) {
    for (uint32_t v = tape_.first(word); v != tape_.end(word); v = tape_.next(v)) good = good && add(v);
  } else {
    good = add(word);
  }
  if (!good || found == 0)
    return refuse(word, PITH_E_GRAMMAR, error,
                  "not a type, nor an array of them: null, boolean, number, integer, string, array, object");
  *types &= found;
  return PITH_OK;
}

pith_status SchemaCompiler::read_bound(uint32_t word, Facts* facts, pith_error* error) const {
  Decimal bound;
  if (tape_[word].type != JsonType::number) return refuse(word, PITH_E_GRAMMAR, error, "not a number");
  if (!read_decimal(tape_[word].text, &bound))
    return refuse(word, PITH_E_UNSUPPORTED, error, "a bound of 10^18 or more is not supported");
  const std::string_view key = tape_[word].key;
  const bool is_least = json_equals(key, "minimum"), is_exclusive_least = json_equals(key, "exclusiveMinimum");
  const bool is_exclusive_most = json_equals(key, "exclusiveMaximum");
  if (!bound.is_integer) facts->fraction_bound = word;
  const int64_t floor = bound.floor;
  if (is_least || is_exclusive_least) {
    const int64_t least = is_least && bound.is_integer ? floor : floor + 1;
    facts->integers.least = std::max(facts->integers.least, least);
    facts->bounds.least = std::max(facts->bounds.least, floor);
  } else {
    const int64_t most = is_exclusive_most && bound.is_integer ? floor - 1 : floor;
    facts->integers.most = std::min(facts->integers.most, most);
    facts->bounds.most = std::min(facts->bounds.most, floor);
  }
  return PITH_OK;
}

pith_status SchemaCompiler::read_count(uint32_t word, uint32_t* out, pith_error* error) const {
  Decimal count;
  if (tape_[word].type != JsonType::number || !read_decimal(tape_[word].text, &count) || !count.is_integer ||
      count.floor < 0)
    return refuse(word, PITH_E_GRAMMAR, error, "not a count");
  *out = uint32_t(std::min(count.floor, int64_t(ProgramWriter::kUnbounded)));
  return PITH_OK;
}

uint32_t SchemaCompiler::type_of(uint32_t value) const {
  switch (tape_[value].type) {
    case JsonType::null: return kNull;
    case JsonType::false_value:
    case JsonType::true_value: return kBoolean;
    case JsonType::string: return kString;
    case JsonType::array: return kArray;
    case JsonType::object: return kObject;
    case JsonType::number: break;
  }
  Decimal number;
  return read_decimal(tape_[value].text, &number) && !number.is_integer ? kNumber : kInteger;
}

// ---- Lists of values

pith_status SchemaCompiler::write_list(const Facts& facts, pith_error* error) {
  const uint32_t list = facts.values[0];
  const bool is_const = json_equals(tape_[list].key, "const");
  ProgramWriter::Alternatives either = writer_->begin_alternatives();
  bool is_first = true;
  const uint32_t end = tape_.end(list);
  for (uint32_t v = is_const ? list : tape_.first(list); v != end; v = is_const ? end : tape_.next(v)) {
    bool fits = (facts.types & type_of(v)) != 0;
    for (uint32_t i = 1; i < facts.n_values && fits; ++i) PITH_TRY(is_listed(v, facts.values[i], &fits, error));
    if (!fits) continue;
    if (!is_first) writer_->next_alternative(&either);
    is_first = false;
    put_json_value(writer_, tape_, v);
    if (writer_->is_full()) return PITH_OK;
  }
  if (is_first) writer_->put_fail();
  writer_->end_alternatives(either);
  return PITH_OK;
}

pith_status SchemaCompiler::is_listed(uint32_t value, uint32_t list, bool* out, pith_error* error) const {
  *out = false;
  const bool is_const = json_equals(tape_[list].key, "const");
  const uint32_t end = tape_.end(list);
  for (uint32_t v = is_const ? list : tape_.first(list); v != end && !*out; v = is_const ? end : tape_.next(v)) {
    if (tape_[v].type != tape_[value].type) continue;
    if (tape_[v].is_container())
      return refuse(list, PITH_E_UNSUPPORTED, error,
                    "a second list of arrays or objects for the same value is not supported");
    *out = tape_[v].type == JsonType::string ? json_equal(tape_[v].text, tape_[value].text)
                                             : tape_[v].text == tape_[value].text;
  }
  return PITH_OK;
}

// ---- Strings and numbers

pith_status SchemaCompiler::write_string(const Facts& facts, pith_error* error) {
  const uint32_t shape = facts.pattern != 0 ? facts.pattern : facts.format;
  if (shape != 0 && (facts.length != 0 || (facts.pattern != 0 && facts.format != 0)))
    return refuse(shape, PITH_E_UNSUPPORTED, error,
                  "of pattern, format and lengths, one alone is supported for a string");
  if (facts.pattern != 0) return write_pattern(shape, tape_[shape].text, true, error);
  if (facts.format != 0) {
    const std::string_view pattern = pattern_of_format(tape_[shape].text);
    if (pattern.empty())
      return refuse(shape, PITH_E_UNSUPPORTED, error, "the format \"", tape_[shape].text,
                    "\" is not supported; docs/grammar.md has those that are");
    return write_pattern(shape, pattern, false, error);
  }
  if (facts.length == 0) {
    writer_->put_call(string_);
    return PITH_OK;
  }
  if (facts.least_length > facts.most_length) {
    writer_->put_fail();
    return PITH_OK;
  }
  writer_->put_text("\"");
  const uint32_t begin = writer_->here();
  writer_->put_call(char_);
  writer_->repeat(begin, facts.least_length, facts.most_length);
  writer_->put_text("\"");
  return PITH_OK;
}

pith_status SchemaCompiler::write_pattern(uint32_t word, std::string_view pattern, bool is_escaped, pith_error* error) {
  uint32_t n = 0, c = 0;
  if (is_escaped) {
    for (JsonCharacters characters(pattern); characters.next(&c);) {
      if (n == PatternCompiler::kMaxCharacters)
        return refuse(word, PITH_E_LIMIT, error, "a pattern of more than ", PatternCompiler::kMaxCharacters,
                      " characters");
      pattern_[n++] = c;
    }
  } else {
    for (const char byte : pattern) pattern_[n++] = uint8_t(byte);
  }
  writer_->put_text("\"");
  PatternCompiler compiler(pattern_, n, char_, writer_);
  if (const char* wrong = compiler.compile(); wrong != nullptr)
    return refuse(word, PITH_E_UNSUPPORTED, error, "near character ", compiler.at(), ": ", wrong);
  writer_->put_text("\"");
  return PITH_OK;
}

pith_status SchemaCompiler::write_number(const Facts& facts, pith_error* error) {
  const bool is_integer = (facts.types & kNumber) == 0;
  if (!facts.integers.is_bounded()) {
    writer_->put_call(is_integer ? integer_ : number_);
    return PITH_OK;
  }
  if (is_integer) {
    put_integers(writer_, facts.integers);
    return PITH_OK;
  }
  if (facts.fraction_bound != 0)
    return refuse(facts.fraction_bound, PITH_E_UNSUPPORTED, error,
                  "of numbers with fractions, bounds that are integers alone are supported");
  ProgramWriter::Alternatives either = writer_->begin_alternatives();
  put_integers(writer_, facts.integers);
  writer_->next_alternative(&either);
  put_fractions(writer_, facts.bounds);
  writer_->end_alternatives(either);
  return PITH_OK;
}

}  // namespace pith::internal
