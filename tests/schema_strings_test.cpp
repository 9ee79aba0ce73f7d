// How strings of JSON Schemas are spelled: every character of a value, every escape of a text.
#include <doctest/doctest.h>

#include <cctype>
#include <cstdio>
#include <cstring>

#include "schema_testing.h"

using namespace pith::test;

TEST_CASE("json schema: a value of every character, spelled in one way") {
  for (uint32_t c = 0; c < 0x100; ++c) {
    CAPTURE(c);
    char other[8];  // as good JSON, and not what the model is to write
    std::snprintf(other, sizeof other, c < 0x20 ? "\\u%04X" : "\\u%04x", unsigned(c));
    const std::string text = "\"a" + spelled_in_json(c) + "b\"";
    std::vector<std::string> others = {"\"ab\"", "\"a" + utf8(c + 1) + "b\""};
    if (spelled_in_json(c) != other) others.push_back(std::string("\"a") + other + "b\"");
    check_texts("{\"const\":" + text + "}", {text}, others);
  }
}

TEST_CASE("json schema: every escape of a string, whole ones and halves of pairs") {
  Matching string(PITH_GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\"}", bytes_alone());
  const auto escape = [](uint32_t unit, const char* form = "\\u%04x") {
    char text[8];
    std::snprintf(text, sizeof text, form, unsigned(unit));
    return std::string(text);
  };
  for (uint32_t unit = 0; unit < 0x10000; unit += is_quick() ? 11 : 1) {
    const bool is_half = unit >= 0xd800 && unit < 0xe000, is_high = is_half && unit < 0xdc00;
    const std::string lower = escape(unit), upper = escape(unit, "\\u%04X");
    if (string.fits("\"" + lower + "\"") == is_half || string.fits("\"" + upper + "\"") == is_half) FAIL_CHECK(lower);
    if (!is_half) continue;
    for (const uint32_t low : {0xdbffu, 0xdc00u, 0xddefu, 0xdeadu, 0xdfffu, 0xe000u, 0x41u}) {
      const bool is_pair = is_high && low >= 0xdc00 && low < 0xe000;
      if (string.fits("\"" + lower + escape(low, "\\u%04X") + "\"") != is_pair) FAIL_CHECK((lower + escape(low)));
    }
    if (is_half && !is_high && !string.fits("\"\\udABC" + lower + "\"")) FAIL_CHECK(lower);
  }
  for (uint32_t three = 0; three < 0x1000; ++three) {
    const std::string cut = escape(three, "\\u%03x") + "\"";
    if (string.fits("\"" + cut) || string.fits("\"\\ud834" + cut)) FAIL_CHECK(cut);
  }
  for (int byte = 0; byte < 128; ++byte) {  // in the place of every letter
    const char c = char(byte);
    const bool is_hex = std::isxdigit(byte) != 0;
    for (size_t at = 2; at < 6; ++at) {
      std::string text = "\\u0041";
      text[at] = c;
      CHECK_MESSAGE(string.fits("\"" + text + "\"") == is_hex, text);
    }
    std::string text = std::string("\\") + c;
    CHECK_MESSAGE(string.fits("\"" + text + "\"") == (c != 0 && std::strchr("\"\\/bfnrt", c) != nullptr), text);
  }
}
