// What JSON Schemas let through, to the letter: numbers, lists of values, characters of patterns, lengths, members.
#include <doctest/doctest.h>

#include <cstdlib>
#include <utility>

#include "schema_testing.h"

using namespace pith::test;

TEST_CASE("json schema: numbers of any notation") {
  const struct {
    const char* number;
    long long least, fraction;  // the least integer that is not below it, and whether it is above
  } cases[] = {{"0", 0, 0},
               {"-0", 0, 0},
               {"7", 7, 0},
               {"-7", -7, 0},
               {"12.5", 13, 1},
               {"-12.5", -12, 1},
               {"12.0", 12, 0},
               {"-12.000", -12, 0},
               {"1.25e1", 13, 1},
               {"1.25e2", 125, 0},
               {"1.25E+2", 125, 0},
               {"1.25e3", 1250, 0},
               {"1250e-2", 13, 1},
               {"1200e-2", 12, 0},
               {"-1250e-2", -12, 1},
               {"5e-1", 1, 1},
               {"-5e-1", 0, 1},
               {"1e-99999999999", 1, 1},
               {"0e99999999999", 0, 0},
               {"0.0012e4", 12, 0},
               {"0.00125e4", 13, 1},
               {"1e2", 100, 0},
               {"0.01", 1, 1},
               {"-0.01", 0, 1},
               {"10.01e1", 101, 1},
               {"1e-1", 1, 1},
               {"10e-1", 1, 0}};
  for (const auto& c : cases) {
    const std::string number = c.number;
    const auto range = [&](long long middle) {
      std::vector<std::string> below, above;
      for (long long i = middle - 3; i < middle; ++i) below.push_back(std::to_string(i));
      for (long long i = middle; i < middle + 3; ++i) above.push_back(std::to_string(i));
      return std::pair(below, above);
    };
    const auto [below, above] = range(c.least);
    check_texts("{\"type\":\"integer\",\"minimum\":" + number + "}", above, below);
    check_texts("{\"type\":\"integer\",\"exclusiveMaximum\":" + number + "}", below, above);
    const auto [within, beyond] = range(c.least + (c.fraction != 0 ? 0 : 1));
    check_texts("{\"type\":\"integer\",\"maximum\":" + number + "}", within, beyond);
    check_texts("{\"type\":\"integer\",\"exclusiveMinimum\":" + number + "}", beyond, within);
  }
  // 18 digits either way, whether they are bounded or not.
  const std::string most(18, '9');
  check_texts("{\"type\":\"integer\",\"minimum\":-5}", {most, "-5", "0"},
              {most + "0", "1" + std::string(18, '0'), "-6", "-0", "00"});
  check_texts("{\"type\":\"integer\",\"maximum\":5}", {"-" + most, "5"}, {"-" + most + "0", "6"});
  check_texts("{\"type\":\"integer\",\"minimum\":" + most + "}", {most}, {most.substr(1), "1" + std::string(18, '0')});
  check_texts("{\"type\":\"integer\",\"maximum\":-" + most + "}", {"-" + most}, {most, "-" + most.substr(1)});
  check_texts("{\"type\":\"integer\",\"minimum\":999999999999999999.0,\"maximum\":9.99999999999999999e17}", {most},
              {"1"});
  check_texts("{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}", {"1", "10", "100", "999", "1000"},
              {"0", "1001", "01", "2000", "10000"});
  check_texts("{\"type\":\"integer\",\"minimum\":123,\"maximum\":456}",
              {"123", "124", "129", "130", "199", "200", "399", "400", "449", "450", "456"},
              {"122", "113", "457", "460", "500", "1230", "12"});
  check_texts("{\"type\":\"integer\",\"minimum\":0,\"maximum\":0}", {"0"}, {"1", "-0", "-1"});
  // Bounds at which digits carry, on every side of zero; and what follows '9' and precedes '0' among the characters.
  const int ends[] = {0,  1,   5,   8,   9,   10,  11,  19,  20,  89,  90,  91,  98,
                      99, 100, 101, 109, 190, 199, 899, 900, 989, 998, 999, 1000};
  std::vector<int> bounds, numbers;
  for (const int end : ends) {
    for (const int sign : {-1, 1}) {
      bounds.push_back(sign * end);
      for (const int near : {-1, 0, 1}) numbers.push_back(sign * end + near);
    }
  }
  for (const int low : bounds) {
    for (const int high : bounds) {
      if (low > high || (low < 0 && high > 0 && low != -1 && high != 1)) continue;  // both sides: apart enough
      if (is_quick() && (low + high) % 3 != 0) continue;
      CAPTURE(low);
      CAPTURE(high);
      Matching matching(
          PITH_GRAMMAR_JSON_SCHEMA,
          "{\"type\":\"integer\",\"minimum\":" + std::to_string(low) + ",\"maximum\":" + std::to_string(high) + "}",
          bytes_alone());
      for (const int number : numbers) {
        std::string text = std::to_string(number);
        if (matching.fits(text) != (number >= low && number <= high)) FAIL_CHECK(text);
        if (number != low && number != high) continue;
        for (const char other : {'/', ':', ';'}) {
          text.back() = other;
          CHECK_FALSE_MESSAGE(matching.fits(text), text);
        }
      }
    }
  }
  check_texts("{\"type\":\"integer\",\"minimum\":-1,\"maximum\":-1}", {"-1"}, {"1", "0", "-2"});
  check_texts(
      "{\"type\":\"integer\",\"allOf\":[{\"minimum\":2},{\"minimum\":3},{\"minimum\":1},{\"maximum\":6},{\"maximum\":5}"
      ",{\"maximum\":7}]}",
      {"3", "5"}, {"2", "6"});
  // With fractions: quarters between bounds on every side of zero.
  for (int least = -3; least <= 3; ++least) {
    for (int width = 0; width <= 3; ++width) {
      for (const bool is_exclusive : {false, true}) {
        const int end = least + width;
        if (is_exclusive && width == 0) continue;
        const std::string word = is_exclusive ? "exclusiveM" : "m";
        Matching matching(PITH_GRAMMAR_JSON_SCHEMA,
                          "{\"type\":\"number\",\"" + word + "inimum\":" + std::to_string(least) + ",\"" + word +
                              "aximum\":" + std::to_string(end) + "}",
                          bytes_alone());
        for (int quarters = -20; quarters <= 20; ++quarters) {
          const bool is_whole = quarters % 4 == 0;
          const std::string text = std::string(quarters < 0 ? "-" : "") + std::to_string(std::abs(quarters) / 4) +
                                   (is_whole                      ? ""
                                    : quarters % 2 == 0           ? ".5"
                                    : std::abs(quarters) % 4 == 1 ? ".25"
                                                                  : ".75");
          CAPTURE(least);
          CAPTURE(end);
          CHECK_MESSAGE(matching.fits(text) == (is_exclusive ? quarters > 4 * least && quarters < 4 * end
                                                             : quarters >= 4 * least && quarters <= 4 * end),
                        text);
        }
      }
    }
  }
  check_texts("{\"type\":\"number\",\"minimum\":0}",
              {"0.1234567890123456"
               "7",
               "5.01"},
              {"0.123456789012345678", "5.10", "5.", "1e1", "5.0"});
  check_texts("{\"type\":\"number\",\"minimum\":1,\"maximum\":2}", {"1.99999999999999999"}, {"2.00000000000000001"});
  check_texts("{\"type\":[\"number\",\"null\"]}", {"1", "0.5", "null"}, {"\"\""});
  check_texts("{\"type\":[\"integer\",\"number\"],\"allOf\":[{\"type\":\"integer\"}]}", {"1"}, {"0.5"});
  Matching number(PITH_GRAMMAR_JSON_SCHEMA, "{\"type\":\"number\"}", bytes_alone());
  for (int digits = 0; digits < 100; ++digits) {
    for (const char* sign : {"e", "e+", "E-"}) CHECK(number.fits("1" + (sign + std::to_string(digits))));
    CHECK(number.fits("0." + std::to_string(digits)));
  }
  for (const char* text : {"1e", "1e-", "1e100", "1e:", "1e/", "1e-:", "1.", "1.e1", "1.:", "1e1.5", "1ee1", "1e--1"})
    CHECK_FALSE_MESSAGE(number.fits(text), text);
  // Written as a list has them: integers without fraction and exponent, and -0 as 0.
  check_texts(
      "{\"enum\":[-0,10,-10,1e2,1234567890123456789,-1.0,-0.50,1E-1,999999999999999999,-999999999999999999.0,1e18]}",
      {"0", "10", "-10", "100", "1234567890123456789", "-1", "-0.50", "1E-1", "999999999999999999",
       "-999999999999999999", "1e18"},
      {"-0", "1e2", "-1.0", "-0.5", "0.1", "1000000000000000000"});
}

TEST_CASE("json schema: lists of values, by types and other lists") {
  const char* values = R"([null,true,false,1,1.5,1.0,1e30,"s",[],{}])";
  const std::vector<std::pair<std::string, std::vector<std::string>>> types = {
      {"\"null\"", {"null"}},         {"\"boolean\"", {"true", "false"}},
      {"\"integer\"", {"1", "1e30"}}, {"\"number\"", {"1", "1.5", "1e30"}},
      {"\"string\"", {"\"s\""}},      {"\"array\"", {"[]"}},
      {"\"object\"", {"{}"}},         {"[\"null\",\"object\"]", {"null", "{}"}}};
  const std::vector<std::string> all = {"null", "true", "false", "1", "1.5", "1e30", "\"s\"", "[]", "{}"};
  for (const auto& [type, fitting] : types) {
    std::vector<std::string> others;
    for (const std::string& value : all) {
      bool fits = false;
      for (const std::string& one : fitting) fits = fits || one == value;
      if (!fits) others.push_back(value);
    }
    check_texts(std::string("{\"enum\":") + values + ",\"type\":" + type + "}", fitting, others);
  }
  check_texts(std::string("{\"enum\":") + values + "}", all, {"2", "\"t\"", "[1]", ""});
  check_texts(R"({"enum":[1,2,"a","b",true,null],"allOf":[{"enum":["a",2,null,"c"]},{"enum":[null,"\u0061",3]}]})",
              {"\"a\"", "null"}, {"1", "2", "\"b\"", "true", "3"});
  check_texts(R"({"const":true,"enum":[false,true]})", {"true"}, {"false"});
  check_texts(R"({"enum":[[],1],"const":1})", {"1"}, {"[]"});
  check_refused(R"({"enum":[1,2],"const":3})", "at \"#\": nothing fits this schema");
  check_texts(R"({"const":{"a":[1,{"b":[]},"c"],"d":{"e":{}}}})", {R"({"a":[1,{"b":[]},"c"],"d":{"e":{}}})"},
              {R"({"a":[1,{"b":[]},"c"],"d":{"e":{}})", R"({"a":[1,{"b":[]},"c"]})"});
  check_texts(R"({"enum":[[[]],[],[[],[]],{"a":{}},{"a":[{}]}]})",
              {"[[]]", "[]", "[[],[]]", R"({"a":{}})", R"({"a":[{}]})"}, {"[[],]", R"({"a":[]})"});
  check_texts(R"({"enum":["a","a"]})", {"\"a\""}, {"\"b\""});
  for (const char* word : {"anyOf", "oneOf", "allOf"})
    check_texts(std::string(R"({"enum":[1,2,3],")") + word + R"(":[{"enum":[3,4,1]}]})", {"1", "3"}, {"2", "4"});
  check_texts(R"({"enum":[1,2,3],"$ref":"#/$defs/a","$defs":{"a":{"enum":[3,4,1]}},"title":1,"x-a":1})", {"1", "3"},
              {"2", "4"});
}

TEST_CASE("json schema: characters of patterns") {
  const auto is_word = [](uint32_t c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  const auto is_space = [](uint32_t c) {
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000 || c == 0xfeff;
  };
  const auto is_digit = [](uint32_t c) { return c >= '0' && c <= '9'; };
  std::vector<uint32_t> characters;
  for (uint32_t c = 0; c < 0x100; ++c) characters.push_back(c);
  for (const uint32_t c : {0x167fu, 0x1680u, 0x1681u, 0x1fffu, 0x2000u, 0x2005u, 0x200au,  0x200bu, 0x2027u,
                           0x2028u, 0x2029u, 0x202au, 0x202eu, 0x202fu, 0x2030u, 0x205eu,  0x205fu, 0x2060u,
                           0x2fffu, 0x3000u, 0x3001u, 0xfefeu, 0xfeffu, 0xff00u, 0x10ffffu})
    characters.push_back(c);
  const auto check_class = [&](const std::string& pattern, const auto& has) {
    CAPTURE(pattern);
    Matching matching(PITH_GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"pattern\":\"^" + pattern + "$\"}",
                      bytes_alone());
    for (const uint32_t c : characters) {
      CAPTURE(c);
      CHECK(matching.fits("\"" + spelled_in_json(c) + "\"") == has(c));
      if (c == 'A') CHECK(!matching.fits("\"\\u0041\""));  // one spelling of each
    }
  };
  check_class("\\\\d", is_digit);
  check_class("\\\\D", [&](uint32_t c) { return !is_digit(c); });
  check_class("\\\\w", is_word);
  check_class("\\\\W", [&](uint32_t c) { return !is_word(c); });
  check_class("\\\\s", is_space);
  check_class("\\\\S", [&](uint32_t c) { return !is_space(c); });
  check_class("[\\\\s\\\\d]", [&](uint32_t c) { return is_space(c) || is_digit(c); });
  check_class("[^\\\\w-]", [&](uint32_t c) { return !is_word(c) && c != '-'; });
  check_class(".", [](uint32_t c) { return c != '\n' && c != '\r' && c != 0x2028 && c != 0x2029; });
  check_class("[^a]", [](uint32_t c) { return c != 'a'; });
  check_class("[\\\\x00-\\\\x2f]", [](uint32_t c) { return c < 0x30; });
  check_class("[b-dx-]", [](uint32_t c) { return (c >= 'b' && c <= 'd') || c == 'x' || c == '-'; });
  check_class("[-b]", [](uint32_t c) { return c == '-' || c == 'b'; });
  check_class("[b-b]", [](uint32_t c) { return c == 'b'; });
  check_class("[\\\\b\\\\]^]", [](uint32_t c) { return c == 8 || c == ']' || c == '^'; });
  check_class("[\\\\n-\\\\r]", [](uint32_t c) { return c >= 10 && c <= 13; });
  check_class("[.$(*|]", [](uint32_t c) { return c == '.' || c == '$' || c == '(' || c == '*' || c == '|'; });
  check_class("[\\\\d-]", [&](uint32_t c) { return is_digit(c) || c == '-'; });
  const struct {
    const char* escape;
    uint32_t character;
  } escapes[] = {{"\\\\n", 10},         {"\\\\r", 13},         {"\\\\t", 9},      {"\\\\f", 12},
                 {"\\\\v", 11},         {"\\\\x41", 'A'},      {"\\\\xfF", 0xff}, {"\\\\u20aC", 0x20ac},
                 {"\\\\ud7ff", 0xd7ff}, {"\\\\ue000", 0xe000}, {"\\\\.", '.'},    {"\\\\$", '$'},
                 {"\\\\^", '^'},        {"\\\\/", '/'},        {"\\\\-", '-'},    {"\\\\[", '['},
                 {"\\\\{", '{'},        {"\\\\\\\\", '\\'},    {"\\\\\\\"", '"'}};
  for (const auto& c : escapes)
    check_texts(std::string("{\"type\":\"string\",\"pattern\":\"^") + c.escape + "1$\"}",
                {"\"" + spelled_in_json(c.character) + "1\""}, {"\"1\"", "\"n1\""});
  // Every ASCII character behind a backslash, as a digit of \x, and by itself.
  for (uint32_t c = 0x21; c < 0x7f; ++c) {
    CAPTURE(c);
    const std::string in_json = spelled_in_json(c);
    const auto is_among = [&](const char* letters) {
      return std::string_view(letters).find(char(c)) != std::string_view::npos;
    };
    const auto compiles = [&](const std::string& pattern) {
      return Compiled(PITH_GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\",\"pattern\":\"" + pattern + "\"}").status ==
             PITH_OK;
    };
    CHECK(compiles("\\\\" + in_json) == (!is_word(c) || is_among("dDwWsSnrtfv")));
    CHECK(compiles("\\\\x4" + in_json) == is_among("0123456789abcdefABCDEF"));
    CHECK(compiles("a" + in_json) == !is_among("()[]{}^\\"));
    CHECK(compiles("a{1" + in_json) == is_among("}"));
    CHECK(compiles("a{1" + in_json + "}") == is_among("0123456789,"));
  }
}

TEST_CASE("json schema: patterns") {
  const auto pattern = [](const std::string& text) { return "{\"type\":\"string\",\"pattern\":\"" + text + "\"}"; };
  check_texts(pattern("^a$"), {"\"a\""}, {"\"aa\"", "\"\"", "\"ba\"", "\"ab\""});
  check_texts(pattern("^a"), {"\"a\"", "\"ab\\n\""}, {"\"ba\""});
  check_texts(pattern("a$"), {"\"a\"", "\"\\u00e9a\""}, {"\"ab\""});
  check_texts(pattern("a"), {"\"xay\"", "\"a\""}, {"\"xy\"", "\"\""});
  check_texts(pattern(""), {"\"\"", "\"x\""}, {"x"});
  check_texts(pattern("^$"), {"\"\""}, {"\"x\""});
  check_texts(pattern("^a|b$|c"), {"\"ax\"", "\"xb\"", "\"xcx\""}, {"\"xa\"", "\"bx\"", "\"\""});
  check_texts(pattern("^a$|^b$"), {"\"a\"", "\"b\""}, {"\"ab\"", "\"xb\"", "\"ax\""});
  check_texts(pattern("^(a|(?:b|c)d)e$"), {"\"ae\"", "\"bde\"", "\"cde\""}, {"\"abde\"", "\"be\"", "\"e\""});
  check_texts(pattern("^(ab|c){2}$"), {"\"abc\"", "\"cab\"", "\"cc\""}, {"\"ab\"", "\"c\"", "\"ccc\""});
  check_texts(pattern("^(|a)b$"), {"\"b\"", "\"ab\""}, {"\"aab\""});
  check_texts(pattern("^a(?:)b$"), {"\"ab\""}, {"\"a\""});
  check_texts(pattern("^xa*?b+?c??$"), {"\"xb\"", "\"xaabbc\""}, {"\"xa\"", "\"xbcc\"", "\"b\""});
  check_texts(pattern("^[ab]{2,3}$"), {"\"ab\"", "\"aba\""}, {"\"a\"", "\"abab\""});
  check_texts(pattern("^a{0}b{9}$"), {"\"bbbbbbbbb\""}, {"\"abbbbbbbbb\"", "\"bbbbbbbb\""});
  check_texts(pattern("^a{2,}$"), {"\"aa\"", "\"aaaaa\""}, {"\"a\""});
  check_texts(pattern("^a{10}$"), {"\"aaaaaaaaaa\""}, {"\"a\"", "\"aaaaaaaaa\""});
  check_texts(pattern("^a{1,1}$"), {"\"a\""}, {"\"aa\"", "\"\""});
  check_texts(pattern("^[]$|^x$"), {"\"x\""}, {"\"\""});  // ECMA: a class of nothing
  const auto refused = [&](const std::string& text, int near, const char* why) {
    check_refused(pattern(text), "at \"#/pattern\": near character " + std::to_string(near) + ": " + why,
                  PITH_E_UNSUPPORTED);
  };
  refused("a)b", 1, "a \")\" closes no group");
  refused("(a", 2, "a group lacks its \")\"");
  refused("(?=a)", 2, "looking around, and groups by name, are not supported");
  refused("(?", 2, "looking around, and groups by name, are not supported");
  refused("a$b", 2, "\"$\" stands elsewhere than at the end");
  refused("a$$", 2, "\"$\" stands elsewhere than at the end");
  refused("a(b$)", 3, "\"^\" and \"$\" are supported at the beginning and end of the whole pattern alone");
  refused("(^b)", 1, "\"^\" and \"$\" are supported at the beginning and end of the whole pattern alone");
  refused("a^", 1, "\"^\" and \"$\" are supported at the beginning and end of the whole pattern alone");
  for (const char* text : {"*", "^+", "^?", "{2}"})
    refused(text, text[0] == '^' ? 1 : 0, "nothing stands before the repetition");
  refused("a|*", 2, "nothing stands before the repetition");
  refused("(*)", 1, "nothing stands before the repetition");
  refused("(a|*)", 3, "nothing stands before the repetition");
  refused("a**", 2, "nothing stands before the repetition");
  refused("a{2}{2}", 4, "nothing stands before the repetition");
  refused("a{x}", 2, "a repetition needs a number of at most 100000");
  refused("a{}", 2, "a repetition needs a number of at most 100000");
  refused("a{1,x}", 4, "a repetition needs a number of at most 100000");
  refused("a{100001}", 8, "a repetition needs a number of at most 100000");
  refused("a{4294967297}", 8, "a repetition needs a number of at most 100000");
  refused("a{2", 3, "a repetition lacks its \"}\"");
  refused("a{2,1}", 6, "a repetition ends before it begins");
  refused("[a", 2, "a class lacks its \"]\"");
  refused("[a-", 3, "a class lacks its \"]\"");
  refused("[a-b", 4, "a class lacks its \"]\"");
  refused("[b-a", 4, "a range of a class ends before it begins");
  refused("[\\\\p]", 3, "this escape is not supported");
  refused("[a-\\\\p]", 5, "this escape is not supported");
  refused("[b-a]", 4, "a range of a class ends before it begins");
  refused("[a-\\\\d]", 5, "a range of a class that ends with a class");
  refused("]", 1, "a bracket or brace that closes nothing");
  refused("}", 1, "a bracket or brace that closes nothing");
  refused("a\\\\", 2, "\"\\\" is the last character");
  refused("\\\\x4", 3, "\"\\x\" needs two hexadecimal digits");
  refused("\\\\u004", 5, "\"\\u\" needs four hexadecimal digits of a character");
  refused("\\\\ud800", 6, "\"\\u\" needs four hexadecimal digits of a character");
  refused("\\\\udfff", 6, "\"\\u\" needs four hexadecimal digits of a character");
  refused("\\\\p", 2, "this escape is not supported");
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, pattern("a{100000}")).status) == int(PITH_E_LIMIT));
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, pattern("a{100000}b")).status) == int(PITH_E_LIMIT));
  check_texts(pattern("^" + repeated("(", 31) + "a" + repeated(")", 31) + "$"), {"\"a\""}, {"\"b\""});
  refused("^" + repeated("(", 32) + "a" + repeated(")", 32), 33, "too many groups within each other");
  const auto ranges = [](uint32_t n, const char* first) {
    std::string out = std::string("^[") + first;
    for (uint32_t i = 0; i < n; ++i) out += utf8(0x100 + 2 * i);
    return out + "]$";
  };
  Matching many(PITH_GRAMMAR_JSON_SCHEMA, pattern(ranges(256, "")), bytes_alone());
  for (uint32_t c = 0xfe; c < 0x100 + 2 * 256 + 2; ++c)
    CHECK(many.fits("\"" + utf8(c) + "\"") == (c % 2 == 0 && c >= 0x100 && c < 0x100 + 2 * 256));
  refused(ranges(257, ""), 260, "a class has too many ranges");
  refused(ranges(256, "^"), 260, "a class has too many ranges");
  refused(ranges(255, " -~"), 261, "a class has too many ranges");  // a quote and a backslash divide one
  check_texts(R"({"type":"string","pattern":"^[\u0022\\\\\u00e9]$"})", {R"("\"")", R"("\\")", "\"\xc3\xa9\""},
              {"\"a\""});
}

TEST_CASE("json schema: lengths") {
  for (int least = 0; least <= 3; ++least) {
    for (int most = -1; most <= 4; ++most) {  // -1: none
      if (most >= 0 && most < least) continue;
      std::string words = least > 0 ? ",\"min%\":" + std::to_string(least) : "";
      if (most >= 0) words += ",\"max%\":" + std::to_string(most);
      const auto with = [&](const char* name) {
        std::string out;
        for (const char c : words) out += c == '%' ? std::string(name) : std::string(1, c);
        return out;
      };
      Matching text(PITH_GRAMMAR_JSON_SCHEMA, "{\"type\":\"string\"" + with("Length") + "}", bytes_alone());
      Matching list(PITH_GRAMMAR_JSON_SCHEMA, "{\"type\":\"array\"" + with("Items") + "}", bytes_alone());
      Matching prefix(PITH_GRAMMAR_JSON_SCHEMA,
                      "{\"type\":\"array\",\"prefixItems\":[{\"const\":0},{\"const\":1}],\"items\":{\"const\":2}" +
                          with("Items") + "}",
                      bytes_alone());
      for (int n = 0; n < 7; ++n) {
        CAPTURE(n);
        CAPTURE(words);
        const bool fits = n >= least && (most < 0 || n <= most);
        CHECK(text.fits("\"" + repeated("\xc3\xa9", n) + "\"") == fits);
        std::string elements, exact;
        for (int i = 0; i < n; ++i) {
          elements += i > 0 ? ", 7" : "7";
          exact += (i > 0 ? "," : "") + std::to_string(std::min(i, 2));
        }
        CHECK(list.fits("[" + elements + "]") == fits);
        CHECK(list.fits("[ " + elements + "]") == fits);
        CHECK(list.fits("[ " + elements + " ]") == (fits && n > 0));  // without elements there is one place for a blank
        CHECK(prefix.fits("[" + exact + "]") == fits);
        if (n > 0) CHECK(!prefix.fits("[" + exact.substr(0, exact.size() - 1) + "9]"));
      }
    }
  }
  check_texts(R"({"type":"string","allOf":[{"minLength":1},{"minLength":2},{"maxLength":4},{"maxLength":3}]})",
              {"\"ab\"", "\"abc\""}, {"\"a\"", "\"abcd\""});
  check_texts(R"({"type":"string","minLength":0})", {"\"\"", "\"a\""}, {""});
  check_texts(R"({"type":"string","minLength":2.0,"maxLength":2e0})", {"\"ab\""}, {"\"a\""});
  check_texts(R"({"type":"string","minLength":0,"pattern":"^a$"})", {"\"a\""}, {"\"b\""});
  check_texts(R"({"type":"array","minItems":1,"maxLength":0})", {"[1]"}, {"[]"});
  check_texts(R"({"type":"array","items":{"const":1},"maxItems":4294967296})", {"[1,1,1]"}, {"[2]"});
  check_texts(R"({"type":"array","items":[{"const":1},{"const":2}],"additionalItems":{"const":3}})",
              {"[1,2,3,3]", "[1]", "[]"}, {"[1,3]", "[1,2,2]"});
  check_texts(R"({"type":"array","items":[{"const":1}]})", {"[1,[]]"}, {"[2]"});
  check_texts(R"({"items":[{"const":1}],"additionalItems":{"const":2},"type":"array"})", {"[]", "[1,2,2]"},
              {"[1,1]", "[2]"});
  check_texts(R"({"type":"array","items":{"const":1},"additionalItems":false})", {"[1,1]"}, {"[2]"});
  check_texts(
      R"({"type":"array","allOf":[{"prefixItems":[{"minimum":1}]},{"prefixItems":[{"maximum":2,"type":"integer"},{"const":5}],"items":{"const":6}}]})",
      {"[1]", "[2,5,6]"}, {"[0]", "[3]", "[1,6]", "[1,5,5]"});
  check_texts(R"({"type":"array","prefixItems":[{"const":1},false]})", {"[]", "[1]"}, {"[1,1]"});
  check_texts(R"({"type":"array","prefixItems":[{"const":1},false,{"const":3}],"maxItems":3})", {"[]", "[1]"},
              {"[1,2]", "[1,2,3]"});
}

TEST_CASE("json schema: members, all that may be left out") {
  // Every subset of three named members and one that is not, against what the schema says.
  for (int required = 0; required < 8; ++required) {
    for (const char* open : {"", ",\"additionalProperties\":false", ",\"additionalProperties\":{\"const\":9}",
                             ",\"additionalProperties\":true"}) {
      std::string names;
      for (int i = 0; i < 3; ++i) {
        if ((required >> i & 1) != 0) names += std::string(names.empty() ? "" : ",") + "\"k" + std::to_string(i) + "\"";
      }
      const std::string schema =
          R"({"type":"object","properties":{"k0":{"const":0},"k1":{"const":1},"k2":{"const":2}},"required":[)" + names +
          "]" + open + "}";
      CAPTURE(schema);
      Matching matching(PITH_GRAMMAR_JSON_SCHEMA, schema, bytes_alone());
      for (int present = 0; present < 32; ++present) {  // k0, k1, k2, and up to two others
        std::string text = "{";
        for (int i = 0; i < 5; ++i) {
          if ((present >> i & 1) == 0) continue;
          text +=
              std::string(text.size() > 1 ? "," : "") + (i < 3 ? "\"k" + std::to_string(i) + "\":" + std::to_string(i)
                                                         : i == 3 ? "\"k\":9"
                                                                  : "\"k01\":9");
        }
        const bool is_open = open[0] != '\0' && std::string(open).find("false") == std::string::npos;
        const bool fits = (required & ~present) == 0 && (present < 8 || is_open);
        CHECK_MESSAGE(matching.fits(text + "}") == fits, text);
        CHECK(!matching.fits(text + ",}"));
        CHECK(!matching.fits("{," + text.substr(1) + "}"));
      }
      CHECK(matching.fits("{ \"k0\": 0,\n  \"k1\": 1, \"k2\": 2 }"));
      CHECK(!matching.fits("{\"k0\":1,\"k1\":1,\"k2\":2}"));
      CHECK(!matching.fits("{\"k1\":1,\"k0\":0,\"k2\":2}"));
    }
  }
  // Keys that are none of the named ones, which begin alike.
  const char* schema =
      R"({"type":"object","properties":{"a":{"const":1},"ab":{"const":1},"abcd":{"const":1},"b\n":{"const":1},"é":{"const":1}},"additionalProperties":{"const":2}})";
  std::vector<std::string> fitting, others;
  for (const char* key : {"a", "ab", "abcd", "\xc3\xa9", "b\\n"}) {
    fitting.push_back(std::string("{\"") + key + "\":1}");
    others.push_back(std::string("{\"") + key + "\":2}");
  }
  for (const char* key : {"", "aa", "abc", "abcde", "abd", "ac", "b", "c", "\xc3\xa8", "\xc3\xa9\xc3\xa9", "e\xc3\xa9",
                          "a\xc3\xa9", "\xf0\x9f\x98\x80", "ab\xe2\x82\xac"}) {
    fitting.push_back(std::string("{\"") + key + "\":2}");
    others.push_back(std::string("{\"") + key + "\":1}");
  }
  check_texts(schema, fitting, others);
  check_texts(R"({"type":"object","properties":{"abc":{"const":1},"ab":{"const":1},"a":{"const":1},"b\nc":{"const":1}},
                  "additionalProperties":{"const":2}})",
              {R"({"a":1})", R"({"b\nc":1})", R"({"b":2,"abcd":2,"ac":2})"},
              {R"({"a":2})", R"({"ab":2})", R"({"abc":2})", R"({"b\nc":2})", R"({"abcd":1})"});
  for (const uint32_t c : {0x7fu, 0x80u, 0x7ffu, 0x800u, 0xffffu, 0x10000u})  // the first and last of every length
    check_texts("{\"type\":\"object\",\"properties\":{\"" + utf8(c) +
                    "\":{\"const\":1}},\"additionalProperties\":{\"const\":2}}",
                {"{\"" + utf8(c) + "\":1}", "{\"" + utf8(c + 1) + "\":2}", "{\"" + utf8(c - 1) + "\":2}"},
                {"{\"" + utf8(c) + "\":2}", "{\"" + utf8(c + 1) + "\":1}", "{\"" + utf8(c - 1) + "\":1}"});
  // What a part says of its own words is no property of another part's.
  check_texts(R"({"type":"object","allOf":[{"properties":{"type":{"const":1}}}]})", {R"({"type":1})"},
              {R"({"type":2})", R"({"type":"object"})"});
  // A name that needs an escape, in whichever order, beside the name that it continues.
  for (const char* names : {R"("a":{"const":1},"a\u0000":{"const":3})", R"("a\u0000":{"const":3},"a":{"const":1})"})
    check_texts(std::string(R"({"type":"object","properties":{)") + names + R"(},"additionalProperties":{"const":2}})",
                {R"({"a":1})", R"({"a\u0000":3})", R"({"ab":2})"}, {R"({"a":2})", R"({"a\u0000":2})", R"({"ab":3})"});
  // Names that begin with as many characters as a class can leave out, and one more.
  const auto beginnings = [](uint32_t n) {
    std::string names;
    for (uint32_t i = 0; i < n; ++i) names += (i > 0 ? ",\"" : "\"") + utf8(0x100 + 2 * i) + "\":{\"const\":1}";
    return R"({"type":"object","properties":{)" + names + R"(},"additionalProperties":{"const":2}})";
  };
  Matching names(PITH_GRAMMAR_JSON_SCHEMA, beginnings(253), bytes_alone());
  for (uint32_t c = 0xfe; c < 0x100 + 2 * 253 + 2; ++c) {
    const bool is_named = c % 2 == 0 && c >= 0x100 && c < 0x100 + 2 * 253;
    CHECK(names.fits("{\"" + utf8(c) + "\":2}") == !is_named);
    CHECK(names.fits("{\"" + utf8(c) + "\":1}") == is_named);
    CHECK(names.fits("{\"" + utf8(c) + "x\":2}"));
  }
  check_refused(beginnings(254), "at \"#\": too many properties beside additionalProperties", PITH_E_LIMIT);
  check_texts(R"({"type":"object","properties":{"":{"const":1}},"additionalProperties":{"const":2}})",
              {R"({"":1})", R"({"a":2})"}, {R"({"":2})", R"({"a":1})"});
  check_texts(
      R"({"type":"object","properties":{"a":{"const":1}},"allOf":[{"properties":{"b":{"const":2}},"additionalProperties":{"type":"integer"}}]})",
      {R"({"a":1,"b":2,"c":3})", R"({"a":1})"}, {R"({"a":2})", R"({"c":""})"});
  check_texts(R"({"type":"object","required":["a","b"],"properties":{"b":{"const":2}}})", {R"({"b":2,"a":7})"},
              {R"({"b":2})", R"({"a":7})", R"({"a":1,"b":2})"});
  check_texts(R"({"type":"object","additionalProperties":false})", {"{}", "{ }"}, {R"({"a":1})"});
  check_texts(R"({"type":"object","required":["a"],"additionalProperties":{"const":1}})",
              {R"({"a":1})", R"({"a":1,"b":1})"}, {"{}", R"({"a":2})"});
  check_refused(R"({"type":"object","required":["a"],"additionalProperties":false})",
                "at \"#\": nothing fits this schema");
  check_refused(R"({"type":"object","properties":{"a":false},"required":["a"]})", "at \"#\": nothing fits this schema");
  // As many as there may be.
  const std::string most =
      "{\"type\":\"object\",\"properties\":{" + list_of("\"k%\":{\"const\":1}", 1023) + "},\"required\":[\"last\"]}";
  CHECK(Matching(std::make_unique<Compiled>(PITH_GRAMMAR_JSON_SCHEMA, most, 1u << 17), bytes_alone())
            .fits(R"({"k0":1,"k1022":1,"last":1})"));
  const std::string beyond = "{\"type\":\"object\",\"properties\":{" + list_of("\"k%\":{\"const\":1}", 1023) +
                             "},\"required\":[\"last\",\"more\"]}";
  const Compiled refused(PITH_GRAMMAR_JSON_SCHEMA, beyond, 1u << 17);
  CHECK(int(refused.status) == int(PITH_E_LIMIT));
  CHECK(std::string(refused.error.message) == "schema: at \"#\": too many properties; raise max_states");
  check_refused(R"({"type":"object","allOf":[{"properties":{)" + list_of("\"a%\":{}", 600) + R"(}},{"properties":{)" +
                    list_of("\"b%\":{}", 600) + "}}]}",
                "at \"#\": too many properties; raise max_states", PITH_E_LIMIT);
}

TEST_CASE("json schema: combinations") {
  check_texts(
      R"({"$ref":"#/$defs/a","anyOf":[{"const":1},{"const":"b"},{"const":2}],"$defs":{"a":{"type":"integer"}}})",
      {"1", "2"}, {"\"b\"", "3"});
  // One schema that two parts bring is no circle.
  check_texts(
      R"({"type":"object","allOf":[{"properties":{"p":{"$ref":"#/$defs/x"}}},{"properties":{"p":{"$ref":"#/$defs/x"}}}],
                  "$defs":{"x":{"const":1}}})",
      {R"({"p":1})"}, {R"({"p":2})"});
  check_texts(
      R"({"type":"object","allOf":[{"additionalProperties":{"type":"integer"}},{"properties":{"a":{"minimum":3}}}]})",
      {R"({"a":3,"b":1})"}, {R"({"a":2})", R"({"b":""})"});
  check_texts(R"({"type":"object","required":["a","a","b","a"],"properties":{"a":{"const":1},"b":{"const":2}}})",
              {R"({"a":1,"b":2})"}, {R"({"a":1})", R"({"b":2})"});
  check_texts(R"({"anyOf":[{"const":1},{"const":2},{"const":3}]})", {"1", "2", "3"}, {"4"});
  check_texts(R"({"type":"integer","anyOf":[{"minimum":5},{"maximum":2}],"oneOf":[{"maximum":6},{"minimum":9}]})",
              {"5", "6", "9", "-1"}, {"3", "4", "7", "8"});
  check_texts(
      R"({"type":"integer","allOf":[{"anyOf":[{"minimum":5},{"maximum":2}]},{"anyOf":[{"maximum":6},{"minimum":9}]}]})",
      {"5", "6", "9", "0"}, {"3", "7", "8"});
  check_texts(R"({"anyOf":[{"anyOf":[{"const":1},{"oneOf":[{"const":2}]}]},{"allOf":[{"const":3}]}]})", {"1", "2", "3"},
              {"4"});
  check_texts(R"({"anyOf":[false,{"const":1}]})", {"1"}, {"2"});
  check_texts(R"({"anyOf":[true,{"const":1}]})", {"2", "{}"}, {""});
  check_texts(
      R"({"type":"object","properties":{"v":{"const":1},"left":{"$ref":"#"},"right":{"$ref":"#"}},"required":["v"]})",
      {R"({"v":1,"left":{"v":1,"right":{"v":1}},"right":{"v":1}})"}, {R"({"v":1,"left":{}})", R"({"left":{"v":1}})"});
  // The order in which parts name properties: that of the schema, and what a part brings behind it.
  check_texts(
      R"({"type":"object","properties":{"a":{"const":1}},"$ref":"#/$defs/d","allOf":[{"properties":{"c":{"const":3}}},{"properties":{"e":{"const":5}}}],
                  "$defs":{"d":{"properties":{"b":{"const":2}},"allOf":[{"properties":{"d":{"const":4}}}]}}})",
      {R"({"a":1,"b":2,"d":4,"c":3,"e":5})", R"({"b":2,"e":5})"},
      {R"({"b":2,"a":1})", R"({"c":3,"d":4})", R"({"d":4,"b":2})"});
  check_texts(R"({"type":"array","items":{"anyOf":[{"type":"null"},{"$ref":"#"}]}})", {"[null,[[],null]]"}, {"[1]"});
  check_refused(R"({"anyOf":[{"type":"null"},{"allOf":[{"$ref":"#"}]}]})",
                "at \"#\": this schema refers to itself for the same value");
  check_refused(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})",
                "at \"#\": nothing fits this schema");
}
