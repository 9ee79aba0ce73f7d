// JSON Schemas: documents that fit and that do not, what is refused, and hostile ones. tests/python/test_json_schema.py has the
// official suite and random documents.
#include <doctest/doctest.h>

#include "schema_testing.h"

using namespace pith::test;

TEST_CASE("json schema: any JSON, with few blanks") {
  check_texts("{}",
              {"null", "true", "-0", "12.5e-3", "\"a\\n\\u00e9\\ud83d\\ude00\xc3\xa9\"", "[]", "[ ]", "{}", "[1, 2,3]",
               "{\"a\": [{}],\n  \"b\":\"\"}", "{\n  \"a\": 1\n}"},
              {"", " null", "nul", "01", "1.", "1e", "+1", "\"\n\"", "\"\\x\"", "\"\\ud83d\"", "\"\\ude00\"",
               "\"\xff\"", "[1,]", "[1 ,2]", "{\"a\" :1}", "{a:1}", "{\"a\":1,}", "[  1]", "null "});
  check_texts("true", {"[[]]"}, {"]"});
  check_texts(" { \"title\" : \"any\" , \"x-of\": 1, \"uniqueItems\": false, \"patternProperties\": {} } ", {"0"},
              {"00"});
}

TEST_CASE("json schema: types, lists of values") {
  check_texts(R"({"type":"boolean"})", {"true", "false"}, {"null", "1"});
  check_texts(R"({"type":["null","integer"]})", {"null", "-12"}, {"1.5", "true"});
  check_texts(R"({"type":"number"})", {"1.5", "-12", "1E5"}, {"\"1\""});
  check_texts(R"({"enum":["a\"\u0001",1,null,{"k":[1,{}]},[],{}]})",
              {"\"a\\\"\\u0001\"", "1", "null", "{\"k\":[1,{}]}", "[]", "{}"}, {"\"a\"", "2", "{\"k\":[1]}"});
  check_texts(R"({"enum":["a",1,2.5,3.0,null],"type":["integer","string"]})", {"\"a\"", "1", "3"},
              {"2.5", "null", "3.0"});
  check_texts(R"({"enum":[-2.0,1e3,2.50,123456789012345678901]})", {"-2", "1000", "2.50", "123456789012345678901"},
              {"2.5"});
  check_texts(R"({"const":"a","enum":["a","b"],"type":"string"})", {"\"a\""}, {"\"b\""});
  check_texts(R"({"const":[[1],{"a":{}}]})", {"[[1],{\"a\":{}}]"}, {"[[1],{\"a\":{}}", "[]"});
}

TEST_CASE("json schema: strings") {
  check_texts(R"({"type":"string","minLength":2,"maxLength":3})",
              {"\"ab\"", "\"\\n\\u0041\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00b\""}, {"\"a\"", "\"abcd\"", "ab"});
  check_texts(R"({"type":"string","minLength":2})", {"\"abc\""}, {"\"a\""});
  check_texts(R"({"type":"string","pattern":"^[a-c]+(?:-\\d{2,3})?$"})", {"\"abc\"", "\"a-12\""},
              {"\"\"", "\"a-1\"", "\"xa\""});
  check_texts(R"({"type":"string","pattern":"b|^c"})", {"\"abc\"", "\"cx\"", "\"b\""}, {"\"ac\"", "\"\""});
  check_texts(R"({"type":"string","pattern":"^[\"\\\\\\s\\u00e9]\\W.$"})",
              {"\"\\\"-a\"", "\"\\\\\\n\xc3\xa9\"", "\" \\\"b\""}, {"\"a-a\"", "\" aa\"", "\" -\\n\""});
  check_texts(R"({"type":"string","format":"date"})", {"\"2024-02-29\"", "\"2000-02-29\"", "\"1999-12-31\""},
              {"\"2023-02-29\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"2024-13-01\"", "\"0000-01-01\""});
  check_texts(R"({"type":"string","format":"date-time"})",
              {"\"2024-02-29T23:59:59.5Z\"", "\"2024-01-01T00:00:00+01:30\""},
              {"\"2024-01-01T24:00:00Z\"", "\"2024-01-01\"", "\"2024-01-01T00:00:00\""});
  check_texts(R"({"type":"string","format":"uuid"})", {"\"123e4567-e89b-12d3-a456-426614174000\""}, {"\"123e4567\""});
  check_texts(R"({"type":"string","format":"email"})", {"\"a.b@example.org\""},
              {"\"a..b@example.org\"", "\"a\"", "\"@b\""});
  check_texts(R"({"type":"string","format":"ipv4"})", {"\"127.0.0.255\""},
              {"\"256.0.0.1\"", "\"01.0.0.0\"", "\"1.2.3\""});
}

TEST_CASE("json schema: bounds of numbers") {
  for (const auto& [least, most] :
       {std::pair(-12, 105), std::pair(0, 9), std::pair(7, 1234), std::pair(-305, -17), std::pair(99, 100)}) {
    const std::string schema =
        "{\"type\":\"integer\",\"minimum\":" + std::to_string(least) + ",\"maximum\":" + std::to_string(most) + "}";
    CAPTURE(schema);
    Matching matching(PITH_GRAMMAR_JSON_SCHEMA, schema, bytes_alone());
    for (int i = -400; i < 1400; ++i) REQUIRE(matching.fits(std::to_string(i)) == (i >= least && i <= most));
  }
  check_texts(R"({"type":"integer","exclusiveMinimum":2.5,"exclusiveMaximum":1e1})", {"3", "9"}, {"2", "10", "2.6"});
  check_texts(R"({"type":"integer","minimum":999999999999999998})", {"999999999999999999"}, {"999999999999999997"});
  check_texts(R"({"type":"number","minimum":0,"exclusiveMaximum":2})", {"0", "1", "0.5", "1.99"},
              {"2", "2.5", "-0.5", "-1", "1.0"});
  check_texts(R"({"type":"number","minimum":-1})", {"-1", "-0.5", "0", "12345.25"}, {"-1.5", "-2"});
  check_texts(R"({"type":"number","maximum":-2})", {"-2", "-2.5", "-30.1"}, {"-1.5", "0", "2.5"});
}

TEST_CASE("json schema: objects") {
  check_texts(
      R"({"type":"object","properties":{"a":{"type":"null"},"b":{"const":1},"c":true},"required":["b"]})",
      {"{\"b\":1}", "{\"a\": null, \"b\": 1}", "{\"b\":1,\"c\":[]}", "{ \"a\":null,\"b\":1,\"c\":{} }"},
      {"{}", "{\"a\":null}", "{\"b\":1,\"a\":null}", "{\"b\":1,\"d\":1}", "{\"b\":2}", "{,\"b\":1}", "{\"b\":1,}"});
  check_texts(R"({"type":"object","properties":{"a":{"const":1},"b":{"const":2}}})",
              {"{}", "{ }", "{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"b\":2}"},
              {"{\"a\":1,}", "{\"b\":2,\"a\":1}", "{\"c\":1}"});
  check_texts(
      R"({"type":"object","properties":{"ab":{"const":1},"ac":{"const":2}},"additionalProperties":{"const":3}})",
      {"{\"ab\":1}", "{\"a\":3}", "{\"abc\":3,\"\":3,\"b\":3}", "{\"ab\":1,\"ac\":2,\"ad\":3}", "{}"},
      {"{\"ab\":3}", "{\"b\":1}", "{\"a\":3,\"ac\":3}", "{\"\\u0061b\":3}"});
  check_texts(R"({"type":"object","additionalProperties":{"type":"integer"}})", {"{\"x\\n\":1, \"y\":2}"},
              {"{\"x\":\"\"}"});
  check_texts(R"({"type":"object"})", {"{\"x\":[1]}"}, {"[]"});
  check_texts(R"({"type":"object","required":["z"]})", {"{\"z\":1}", "{\"z\":1,\"y\":2}"}, {"{}", "{\"y\":1}"});
  check_texts(R"({"type":"object","properties":{"a":false,"b":true}})", {"{\"b\":0}", "{}"}, {"{\"a\":0}"});
}

TEST_CASE("json schema: arrays") {
  check_texts(R"({"type":"array","items":{"const":1},"minItems":1,"maxItems":3})", {"[1]", "[1, 1,1]", "[ 1 ]"},
              {"[]", "[1,1,1,1]", "[2]", "[1,]"});
  check_texts(R"({"type":"array","items":{"const":1},"minItems":2})", {"[1,1,1]"}, {"[1]", "[]"});
  check_texts(R"({"type":"array","items":{"const":1}})", {"[]", "[1,1]"}, {"[,1]"});
  check_texts(R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"});
  check_texts(R"({"type":"array","items":false})", {"[]"}, {"[1]"});
  check_texts(R"({"type":"array","prefixItems":[{"const":1},{"const":2}],"items":{"const":3}})",
              {"[]", "[1]", "[1,2]", "[1,2,3,3]"}, {"[2]", "[1,3]"});
  check_texts(R"({"type":"array","items":[{"const":1}],"additionalItems":false})", {"[]", "[1]"}, {"[1,1]"});
  check_texts(R"({"type":"array","prefixItems":[{"const":1}],"minItems":2})", {"[1,null]", "[1,2,3]"},
              {"[1]", "[2,2]"});
}

TEST_CASE("json schema: references and combinations") {
  check_texts(
      R"({"$ref":"#/$defs/a~1b%25","$defs":{"a/b%":{"type":"object","properties":{"n":{"$ref":"#"}},"required":[]}}})",
      {"{}", "{\"n\":{\"n\":{}}}"}, {"{\"n\":1}"});
  // A tilde that ends a name is no escape, whatever lies behind the name where it was decoded.
  check_texts(R"({"$ref":"#/$defs/%31~","$defs":{"1~":{"const":1},"1/":{"const":2}}})", {"1"}, {"2"});
  check_texts(R"({"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#"}}]})", {"null", "[[null],[]]"}, {"[1]"});
  check_texts(
      R"({"type":"object","properties":{"a":{"const":1}},"oneOf":[{"required":["a"]},{"properties":{"b":{"const":2}},"required":["b"]}]})",
      {"{\"a\":1}", "{\"b\":2}", "{\"a\":1,\"b\":2}"}, {"{}", "{\"a\":2}"});
  check_texts(
      R"({"allOf":[{"$ref":"#/$defs/x"},{"properties":{"b":{"type":"integer","maximum":5}},"required":["b"]}],"type":"object",
              "$defs":{"x":{"properties":{"a":{"const":1},"b":{"minimum":3}},"required":["a"]}}})",
      {"{\"a\":1,\"b\":3}", "{\"a\":1,\"b\":5}"},
      {"{\"a\":1}", "{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":6}", "{\"a\":1,\"b\":\"\"}"});
  check_texts(R"({"type":"integer","anyOf":[{"minimum":5,"maximum":6},{"maximum":1,"minimum":0}]})", {"5", "1"},
              {"3", "7"});
}

TEST_CASE("json schema: what is refused, by its pointer") {
  struct Case {
    const char *schema, *words;
    pith_status status = PITH_E_GRAMMAR;
  };
  const Case cases[] = {
      {R"({"properties":{"a":{"not":{}}}})", "\"#/properties/a/not\": \"not\" is not supported", PITH_E_UNSUPPORTED},
      {R"({"if":{}})", "\"#/if\"", PITH_E_UNSUPPORTED},
      {R"({"typ":"string"})", "\"#/typ\"", PITH_E_UNSUPPORTED},
      {R"({"uniqueItems":true})", "#/uniqueItems", PITH_E_UNSUPPORTED},
      {R"({"multipleOf":2})", "#/multipleOf", PITH_E_UNSUPPORTED},
      {R"({"type":"number","minimum":0.5})", "bounds that are integers", PITH_E_UNSUPPORTED},
      {R"({"type":"integer","minimum":1e30})", "10^18", PITH_E_UNSUPPORTED},
      {R"({"type":"string","format":"regex"})", "\"regex\" is not supported", PITH_E_UNSUPPORTED},
      {R"({"type":"string","pattern":"a","minLength":3})", "one alone", PITH_E_UNSUPPORTED},
      {R"-({"type":"string","pattern":"(?=a)"})-", "looking around", PITH_E_UNSUPPORTED},
      {R"({"type":"string","pattern":"a\\b"})", "escape", PITH_E_UNSUPPORTED},
      {R"({"type":"string","pattern":"a^"})", "beginning and end", PITH_E_UNSUPPORTED},
      {R"({"enum":["a"],"minLength":3})", "beside enum or const", PITH_E_UNSUPPORTED},
      {R"({"$schema":"http://example.org/own"})", "#/$schema", PITH_E_UNSUPPORTED},
      {R"({"$ref":"other.json"})", "within this document", PITH_E_UNSUPPORTED},
      {R"({"$defs":{"a":{"$id":"x","items":{"$ref":"#"}}},"items":{"$ref":"#/$defs/a/items"}})", "$id",
       PITH_E_UNSUPPORTED},
      {R"({"$ref":"#/nowhere"})", "leads to nothing"},
      {R"({"$ref":"#"})", "refers to itself"},
      {R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})", "refers to itself"},
      {R"({"type":"null","anyOf":[{"$ref":"#"}]})", "refers to itself"},
      {R"({"type":"text"})", "\"#/type\": not a type"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "nothing fits"},
      {"false", "nothing fits"},
      {R"({"enum":["a"],"type":"null"})", "nothing fits"},
      {R"({"minimum":"a"})", "not a number"},
      {R"({"properties":[]})", "not an object"},
      {R"({"required":"a"})", "not an array of names"},
      {R"({"minItems":-1})", "not a count"},
      {R"({"anyOf":[]})", "one schema or more"},
      {R"({"items":1})", "a schema is an object"},
      {R"({"a":1,"a":2})", "stands twice"},
      {"{\n\"a\":\n}", "line 3: a value is missing"},
      {"{} x", "something follows"},
      {R"({"a":"\q"})", "unknown escape"},
      {R"({"a":"\ud800"})", "no Unicode"},
      {"[1", "\",\" or \"]\" is missing"},
      {R"({"type":"array","maxItems":100000,"items":{"const":"abcdefgh"}})", "max_states", PITH_E_LIMIT},
  };
  for (const Case& c : cases) {
    CAPTURE(c.schema);
    const Compiled grammar(PITH_GRAMMAR_JSON_SCHEMA, c.schema);
    CHECK(int(grammar.status) == int(c.status));
    CHECK_MESSAGE(std::string(grammar.error.message).find(c.words) != std::string::npos, grammar.error.message);
  }
}

TEST_CASE("json schema: hostile ones end soon") {
  const auto nested = [](const char* open, const char* close, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += open;
    out += "{}";
    for (int i = 0; i < n; ++i) out += close;
    return out;
  };
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, nested("{\"items\":", "}", 127)).status) == int(PITH_OK));
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, nested("{\"items\":", "}", 5000)).status) == int(PITH_E_GRAMMAR));
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, nested("{\"allOf\":[", "]}", 60)).status) != int(PITH_OK));
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, std::string(127, '[')).status) == int(PITH_E_GRAMMAR));
  // Combinations of combinations: 4^8 rules.
  std::string all;
  for (int i = 0; i < 8; ++i) {
    all += i > 0 ? "," : "";
    all += R"({"anyOf":[{"minimum":1},{"maximum":2},{"minLength":3},{"maxLength":4}]})";
  }
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, "{\"allOf\":[" + all + "]}").status) == int(PITH_E_LIMIT));
  std::string words = "{\"enum\":[";
  for (int i = 0; i < 20000; ++i) words += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\"";
  const Compiled list(PITH_GRAMMAR_JSON_SCHEMA, words + "]}", 1u << 20);
  CHECK_MESSAGE(list.status == PITH_OK, list.error.message);
  pith_matcher* matcher = nullptr;
  size_t bytes = 0;
  REQUIRE(int(pith_matcher_bytes(list.grammar, bytes_alone().trie, &bytes, nullptr)) == int(PITH_OK));
  const Block memory = block_of(bytes);
  refuses(PITH_E_LIMIT, "may begin in more than", [&](pith_error* error) {
    return pith_matcher_init(list.grammar, bytes_alone().trie, memory.get(), bytes, &matcher, error);
  });
}
