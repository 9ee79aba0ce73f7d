// What tests of JSON Schemas share: texts that fit and that do not, refusals by their sentence, texts of many pieces.
#ifndef PITH_TESTS_SCHEMA_TESTING_H
#define PITH_TESTS_SCHEMA_TESTING_H

#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "grammar_testing.h"
#include "quick.h"

namespace pith::test {

inline void check_texts(const std::string& schema, const std::vector<std::string>& fitting,
                        const std::vector<std::string>& others) {
  CAPTURE(schema);
  Matching matching(PITH_GRAMMAR_JSON_SCHEMA, schema, bytes_alone());
  for (const std::string& text : fitting) CHECK_MESSAGE(matching.fits(text), text);
  for (const std::string& text : others) CHECK_MESSAGE(!matching.fits(text), text);
}

// Refused, with exactly this sentence behind "schema: ".
inline void check_refused(const std::string& schema, const std::string& sentence, pith_status status = PITH_E_GRAMMAR) {
  CAPTURE(schema);
  const Compiled grammar(PITH_GRAMMAR_JSON_SCHEMA, schema);
  CHECK(int(grammar.status) == int(status));
  CHECK(std::string(grammar.error.message) == "schema: " + sentence);
}

// As patterns, enums and keys spell a character in a string of JSON: as it stands, or by the one escape that must be.
inline std::string spelled_in_json(uint32_t c) {
  switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
  }
  if (c >= 0x20) return utf8(c);
  char text[8];
  std::snprintf(text, sizeof text, "\\u%04x", unsigned(c));
  return text;
}

inline std::string repeated(const char* text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

// "a,a,a": n times, each with its number for "%".
inline std::string list_of(const char* item, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) {
    if (i > 0) out += ",";
    for (const char* c = item; *c != '\0'; ++c) out += *c == '%' ? std::to_string(i) : std::string(1, *c);
  }
  return out;
}

}  // namespace pith::test

#endif
