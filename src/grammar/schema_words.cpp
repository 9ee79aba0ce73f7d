#include "grammar/schema_words.h"

#include "text/characters.h"

namespace pith::internal {
namespace {

constexpr std::string_view kAnnotations[] = {"title",           "description",
                                             "default",         "examples",
                                             "example",         "deprecated",
                                             "readOnly",        "writeOnly",
                                             "$schema",         "$id",
                                             "$comment",        "$anchor",
                                             "$defs",           "definitions",
                                             "$vocabulary",     "$dynamicAnchor",
                                             "contentEncoding", "contentMediaType",
                                             "contentSchema",   "discriminator"};
constexpr std::string_view kHeld[] = {"type",
                                      "enum",
                                      "const",
                                      "properties",
                                      "required",
                                      "additionalProperties",
                                      "items",
                                      "prefixItems",
                                      "minItems",
                                      "maxItems",
                                      "additionalItems",
                                      "minLength",
                                      "maxLength",
                                      "pattern",
                                      "format",
                                      "minimum",
                                      "maximum",
                                      "exclusiveMinimum",
                                      "exclusiveMaximum",
                                      "anyOf",
                                      "oneOf",
                                      "allOf",
                                      "$ref"};
constexpr std::string_view kFalseOrZero[] = {"uniqueItems", "minProperties"};
constexpr std::string_view kTrueOrEmpty[] = {"unevaluatedProperties", "unevaluatedItems", "propertyNames",
                                             "patternProperties",     "dependentSchemas", "dependentRequired",
                                             "dependencies"};

template <size_t n>
bool has(const std::string_view (&list)[n], std::string_view escaped_key) {
  for (const std::string_view word : list) {
    if (json_equals(escaped_key, word)) return true;
  }
  return false;
}

int32_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace

SchemaWord find_word(std::string_view escaped_key) {
  if (has(kHeld, escaped_key)) return SchemaWord::held;
  if (has(kAnnotations, escaped_key)) return SchemaWord::annotation;
  if (has(kFalseOrZero, escaped_key)) return SchemaWord::false_or_zero;
  return has(kTrueOrEmpty, escaped_key) ? SchemaWord::true_or_empty : SchemaWord::unknown;
}

size_t unescape_percents(char* text, size_t n) {
  size_t used = 0;
  for (size_t i = 0; i < n; ++i) {
    const bool is_escape = text[i] == '%' && i + 2 < n && hex_digit(text[i + 1]) >= 0 && hex_digit(text[i + 2]) >= 0;
    text[used++] = is_escape ? char(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])) : text[i];
    i += is_escape ? 2 : 0;
  }
  return used;
}

size_t unescape_tildes(char* text, size_t n) {
  size_t used = 0;
  for (size_t i = 0; i < n; ++i) {
    const bool is_escape = text[i] == '~' && i + 1 < n && (text[i + 1] == '0' || text[i + 1] == '1');
    text[used++] = !is_escape ? text[i] : text[i + 1] == '0' ? '~' : '/';
    i += is_escape ? 1 : 0;
  }
  return used;
}

uint32_t step_into(const JsonTape& tape, uint32_t value, std::string_view token) {
  if (tape[value].type == JsonType::object) return tape.find(value, token);
  if (tape[value].type != JsonType::array || token.empty() || token.size() > 9) return 0;
  uint32_t index = 0;
  for (const char c : token) {
    if (c < '0' || c > '9') return 0;
    index = index * 10 + uint32_t(c - '0');
  }
  for (uint32_t i = tape.first(value); i != tape.end(value); i = tape.next(i), --index) {
    if (index == 0) return i;
  }
  return 0;
}

}  // namespace pith::internal
