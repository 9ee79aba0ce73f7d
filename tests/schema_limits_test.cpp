// JSON Schemas to the letter: limits of their reader at the last value and one beyond, every word, every refusal.
#include <doctest/doctest.h>

#include "schema_testing.h"

using namespace pith::test;

TEST_CASE("json schema: the reader takes RFC 8259, to the byte") {
  const auto status_of = [](const std::string& value) {
    return Compiled(PITH_GRAMMAR_JSON_SCHEMA, "{\"default\":" + value + "}").status;
  };
  for (const char* good : {"0",
                           "-0",
                           "-1",
                           "10",
                           "0.0",
                           "-0.10",
                           "9e9",
                           "9E+9",
                           "0e-0",
                           "1.5e09",
                           "\"\"",
                           "\"\x7f\"",
                           "[]",
                           "{}",
                           "[ 1 ,\t2\r,\n3 ]",
                           "{ \"a\" : 1 , \"b\" : [ ] }",
                           "[[],[]]",
                           "[{},{\"a\":{}}]",
                           "\"\\\\\"",
                           "\"\\/\""}) {
    CAPTURE(good);
    CHECK(int(status_of(good)) == int(PITH_OK));
  }
  for (const char* bad :
       {"00",         "-",         "-a",         "+1",          ".5",      "1.",        "1.e1",      "1e",
        "1e+",        "1e+-1",     "1E",         "0x1",         "1a",      "nul",       "True",      "'a'",
        "[1 2]",      "[,1]",      "[1,]",       "{,}",         "{\"a\"}", "{\"a\":}",  "{\"a\" 1}", "{a:1}",
        "{\"a\":1,}", "[",         "{",          "\"",          "\"\\\"",  "\"\x1f\"",  "\"\n\"",    "\"\xc3\"",
        "\"\\a\"",    "\"\\u12\"", "\"\\u123\"", "\"\\u12g4\"", "[1}",     "{\"a\":1]", "1:2"}) {
    CAPTURE(bad);
    CHECK(int(status_of(bad)) == int(PITH_E_GRAMMAR));
  }
  // Every byte as an escape, as a digit of one, and alone in a string.
  for (int byte = 1; byte < 256; ++byte) {
    CAPTURE(byte);
    const char c = char(byte);
    const std::string text(1, c);
    const auto is_among = [&](const char* letters) {
      return std::string_view(letters).find(c) != std::string_view::npos;
    };
    CHECK((status_of("\"\\" + text + "\"") == PITH_OK) == is_among("\"\\/bfnrt"));
    CHECK((status_of("\"\\u00" + text + "a\"") == PITH_OK) == is_among("0123456789abcdefABCDEF"));
    CHECK((status_of("\"\\u004" + text + "\"") == PITH_OK) == is_among("0123456789abcdefABCDEF"));
    CHECK((status_of("\"" + text + "a\"") == PITH_OK) == (byte >= 0x20 && byte < 0x80 && !is_among("\"\\")));
    CHECK((status_of(text) == PITH_OK) == is_among("0123456789"));
    CHECK((status_of("1" + text + "1") == PITH_OK) == is_among("0123456789.eE"));
    CHECK((Compiled(PITH_GRAMMAR_JSON_SCHEMA, "{}" + text).status == PITH_OK) == is_among(" \t\r\n"));
    CHECK((Compiled(PITH_GRAMMAR_JSON_SCHEMA, text + "{}").status == PITH_OK) == is_among(" \t\r\n"));
  }
  check_refused("{\n \"a\": 1,\r\n\t\"b\": \"\\q\"}",
                "line 3: a string has a control character, an unknown escape or what is no Unicode");
  check_refused("{\"a\":\"", "line 1: a string lacks its end");
  check_refused("{\"a\":\"\\", "line 1: a string lacks its end");
  check_refused("{\n\n1:2}", "line 3: a key in quotes is missing");
  check_refused("{\"a\"\n1}", "line 2: \":\" is missing");
  check_refused("{\"a\":[1\n 2]}", "line 2: \",\" or \"]\" is missing");
  check_refused("{\"a\":1\n\"b\":2}", "line 2: \",\" or \"}\" is missing");
  check_refused("{\"a\":-x}", "line 1: a number is not as JSON has it");
  check_refused("", "line 1: a value is missing");
  check_refused(" {}\n1", "line 2: something follows the document");
}

TEST_CASE("json schema: escapes and their characters") {
  const struct {
    const char* escaped;
    uint32_t character;
  } good[] = {{"\\u0000", 0},
              {"\\u0041", 0x41},
              {"\\u00eF", 0xef},
              {"\\uABcd", 0xabcd},
              {"\\ud7ff", 0xd7ff},
              {"\\ue000", 0xe000},
              {"\\uffff", 0xffff},
              {"\\ud800\\udc00", 0x10000},
              {"\\ud83d\\ude00", 0x1f600},
              {"\\udbff\\udfff", 0x10ffff},
              {"\\/", '/'},
              {"\\b", '\b'},
              {"\\f", '\f'},
              {"\\n", '\n'},
              {"\\r", '\r'},
              {"\\t", '\t'},
              {"\\\"", '"'},
              {"\\\\", '\\'}};
  for (const auto& c : good) {
    check_texts(std::string("{\"const\":\"") + c.escaped + "1\"}", {"\"" + spelled_in_json(c.character) + "1\""},
                {"\"1\""});
    check_texts(std::string("{\"type\":\"string\",\"pattern\":\"^[") + (c.character == '\\' ? "\\\\" : "") + c.escaped +
                    "]$\"}",
                {"\"" + spelled_in_json(c.character) + "\""}, {"\"1\""});
  }
  for (const char* bad : {"\\ud800", "\\udbff", "\\udc00", "\\udfff", "\\ud800\\ud800", "\\ud800\\udbff",
                          "\\ud800\\ue000", "\\ud800u", "\\ud800\\n", "\\ud800\\udc0"})
    check_refused(std::string("{\"const\":\"") + bad + "\"}",
                  "line 1: a string has a control character, an unknown escape or what is no Unicode");
  // Keys are the same whatever their escapes; two with the same FNV-1a are not.
  check_refused(R"({"default":{"ab":1,"\u0061b":2}})", R"(line 1: the key "\u0061b" stands twice in its object)");
  check_texts(R"({"properties":{"costarring":{"const":1},"liquid":{"const":2},"\u007a":{"const":3}},"type":"object"})",
              {R"({"costarring":1,"liquid":2,"z":3})"}, {R"({"liquid":1})", R"({"costarring":2})"});
  check_texts(
      R"({"allOf":[{"properties":{"liquid":{"const":1},"costarring":{"const":2}}},{"required":["costarr\u0069ng"]}],"type":"object"})",
      {R"({"liquid":1,"costarring":2})", R"({"costarring":2})"}, {R"({"liquid":1})"});
  check_texts(
      R"({"\u0074ype":"object","properties":{"a\"":{"const":1}},"required":["a\u0022"],"additionalProperties":{"const":2}})",
      {R"({"a\"":1})", R"({"a\"":1,"a":2})"}, {"{}", R"({"a":2})"});
}

TEST_CASE("json schema: limits of the document") {
  const auto nested = [](int n) { return "{\"const\":" + repeated("[", n) + repeated("]", n) + "}"; };
  check_texts(nested(127), {repeated("[", 127) + repeated("]", 127)}, {repeated("[", 126) + repeated("]", 126)});
  check_refused(nested(128), "line 1: more than 128 values within each other");
  check_refused("{\"default\":" + repeated("{\"a\":", 128) + "1" + repeated("}", 128) + "}",
                "line 1: more than 128 values within each other");
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA,
                     "{\"default\":" + repeated("[[]],", 0) + repeated("{\"a\":", 127) + "1" + repeated("}", 127) + "}")
                .status) == int(PITH_OK));
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, "{\"default\":{" + list_of("\"k%\":1", 1024) + "}}").status) ==
        int(PITH_OK));
  check_refused("{\"default\":{" + list_of("\"k%\":1", 1025) + "}}", "line 1: an object of more than 1024 members");
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, "{\"default\":[" + list_of("%", 5000) + "]}").status) == int(PITH_OK));
  // 16 schemas for one value: this one and 15 others, by allOf, by $ref, and by both.
  check_texts("{\"type\":\"integer\",\"allOf\":[" + list_of("{\"minimum\":%}", 15) + "]}", {"14"}, {"13"});
  check_refused("{\"type\":\"integer\",\"allOf\":[" + list_of("{\"minimum\":%}", 16) + "]}",
                "at \"#/allOf/15\": more than 16 schemas for one value (allOf, $ref)", PITH_E_LIMIT);
  const auto lists = [](int n) { return "{\"allOf\":[" + list_of("{\"enum\":[1,2]}", n) + "]}"; };
  check_texts(lists(15), {"1", "2"}, {"3"});
  check_refused("{\"enum\":[1],\"const\":1,\"allOf\":[" + list_of("{\"enum\":[1]}", 15) + "]}",
                "at \"#/allOf/14/enum\": too many lists of values for one value", PITH_E_LIMIT);
  check_texts("{\"enum\":[1],\"const\":1,\"allOf\":[" + list_of("{\"enum\":[1]}", 14) + "]}", {"1"}, {"2"});
  // References of at most 500 bytes, of which escapes count as what they are.
  const auto reference = [](int n) {
    const std::string name = repeated("n", n - 8);
    return "{\"$ref\":\"#/$defs/" + name + "\",\"$defs\":{\"" + name + "\":{\"const\":1}}}";
  };
  check_texts(reference(509), {"1"}, {"2"});
  check_refused(reference(510), "at \"#/$ref\": a reference of more than 500 bytes", PITH_E_LIMIT);
  // Pointers of errors are cut, and count from 0.
  check_refused("{\"prefixItems\":[" + list_of("{}", 12) + ",{\"items\":{\"not\":{}}}]}",
                "at \"#/prefixItems/12/items/not\": \"not\" is not supported; docs/grammar.md has what is",
                PITH_E_UNSUPPORTED);
  check_refused("{\"type\":\"array\",\"prefixItems\":[{},{\"minimum\":\"\"}]}",
                "at \"#/prefixItems/1/minimum\": not a number");
  const std::string name = repeated("n", 110);
  check_refused("{\"type\":\"object\",\"properties\":{\"" + name + "\":{\"minimum\":\"\"}}}",
                "at \"#" + ("/properties/" + name + "/minimum").substr(0, 120) + "\": not a number");
  // A pattern of at most 4,096 characters.
  check_texts("{\"type\":\"string\",\"pattern\":\"^" + repeated("\\u00e9", 4094) + "$\"}",
              {"\"" + repeated("\xc3\xa9", 4094) + "\""}, {"\"" + repeated("\xc3\xa9", 4093) + "\""});
  check_refused("{\"type\":\"string\",\"pattern\":\"^" + repeated("\\u00e9", 4095) + "$\"}",
                "at \"#/pattern\": a pattern of more than 4096 characters", PITH_E_LIMIT);
}

TEST_CASE("json schema: as many rules, and parts of them, as there is room for") {
  // Whatever it is that finds no room: the states of members, of the keys beside them, of a list, of a pattern.
  const auto check_limit = [](const char* front, const char* item, const char* behind) {
    int n_good = 0;
    for (int n = 1; n < 300; n += n < 100 ? 1 : 20) {
      const Compiled grammar(PITH_GRAMMAR_JSON_SCHEMA, front + list_of(item, n) + behind, 1024);
      CAPTURE(n);
      REQUIRE(int(grammar.status) == int(n_good == n - 1 && grammar.status == PITH_OK ? PITH_OK : PITH_E_LIMIT));
      n_good += grammar.status == PITH_OK ? 1 : 0;
    }
    CHECK(n_good > 1);
  };
  check_limit(R"({"type":"object","properties":{)", R"("%":{})", "}}");
  check_limit(R"({"type":"object","properties":{)", R"("%":{})", R"(},"additionalProperties":true})");
  check_limit(R"({"enum":[)", "\"%\"", "]}");
  check_limit(R"({"type":"array","prefixItems":[)", R"({"const":%})", "]}");
  check_limit(R"({"anyOf":[)", R"({"const":%})", "]}");
  check_limit(R"({"type":"string","pattern":")", "ab{3}", "\"}");
  const auto properties = [](int n, const char* behind, uint32_t max_states) {
    return std::string(Compiled(PITH_GRAMMAR_JSON_SCHEMA,
                                R"({"type":"object","properties":{)" + list_of("\"%\":{}", n) + "}" + behind + "}",
                                max_states)
                           .error.message);
  };
  const std::string too_many = "schema: at \"#\": too many properties; raise max_states";
  CHECK(properties(256, "", 1024) != too_many);  // a quarter of the states, of all objects
  CHECK(properties(257, "", 1024) == too_many);
  CHECK(properties(256, R"(,"additionalProperties":true)", 2048) != too_many);
  CHECK(properties(257, R"(,"additionalProperties":true)", 2048) == too_many);
  // Of 4,096 states: 1,024 rules of 2,048 parts. The first rule is one part, each of these branches three or one.
  const auto branches = [](int n_threes, int n_ones) {
    return R"({"anyOf":[)" + list_of(R"({"allOf":[{"type":"string"},{"type":"string"},{"type":"string"}]})", n_threes) +
           "," + list_of(R"({"type":"string"})", n_ones) + "]}";
  };
  CHECK(int(Compiled(PITH_GRAMMAR_JSON_SCHEMA, branches(682, 1), 4096).status) == int(PITH_OK));
  const Compiled parts(PITH_GRAMMAR_JSON_SCHEMA, branches(682, 2), 4096);
  CHECK(int(parts.status) == int(PITH_E_LIMIT));
  CHECK(std::string(parts.error.message) == "schema: at \"#/anyOf/683\": too many rules; raise max_states");
  const Compiled rules(PITH_GRAMMAR_JSON_SCHEMA, branches(1, 1012), 4096);
  CHECK(int(rules.status) == int(PITH_E_LIMIT));
  CHECK(std::string(rules.error.message) ==
        "schema: it needs more than 4096 states, or 1024 rules; raise max_states of pith_grammar_source");
}

TEST_CASE("json schema: every word that says nothing about what fits, and those that must say nothing") {
  for (const char* word : {"title",
                           "description",
                           "default",
                           "examples",
                           "example",
                           "deprecated",
                           "readOnly",
                           "writeOnly",
                           "$id",
                           "$comment",
                           "$anchor",
                           "$defs",
                           "definitions",
                           "$vocabulary",
                           "$dynamicAnchor",
                           "contentEncoding",
                           "contentMediaType",
                           "contentSchema",
                           "discriminator",
                           "x-own",
                           "x-"}) {
    check_texts(std::string("{\"") + word + "\":{\"not\":1},\"const\":1}", {"1"}, {"2"});
    check_texts(std::string("{\"") + word + "\":1}", {"[2]"}, {"["});
  }
  check_texts(R"({"$schema":"https://json-schema.org/draft/2020-12/schema"})", {"1"}, {""});
  check_texts(R"({"$schema":"http://json-schema.org/draft-07/schema#"})", {"1"}, {""});
  check_refused(R"({"$schema":"https://json-schema.org"})",
                "at \"#/$schema\": a vocabulary other than json-schema.org's is not supported", PITH_E_UNSUPPORTED);
  const auto check_word = [](const char* word, const char* nothing, const std::vector<const char*>& something) {
    check_texts(std::string("{\"") + word + "\":" + nothing + "}", {"1"}, {""});
    for (const char* value : something)
      check_refused(
          std::string("{\"") + word + "\":" + value + "}",
          std::string("at \"#/") + word + "\": \"" + word + "\" is not supported; docs/grammar.md has what is",
          PITH_E_UNSUPPORTED);
  };
  for (const char* word : {"uniqueItems", "minProperties"}) {
    check_word(word, "false", {"true", "1", "{}", "[]", "null"});
    check_word(word, "0", {"00.5" + 1, "\"1\""});
  }
  for (const char* word : {"unevaluatedProperties", "unevaluatedItems", "propertyNames", "patternProperties",
                           "dependentSchemas", "dependentRequired", "dependencies"}) {
    check_word(word, "true", {"false", "[]", "{\"a\":{}}", "0"});
    check_word(word, "{}", {"null"});
  }
  for (const char* word : {"not", "if", "then", "else", "contains", "minContains", "maxContains", "multipleOf",
                           "maxProperties", "$dynamicRef", "$recursiveRef", "x", "Type", "typ", "types", ""})
    check_word("title", "1", {}), check_refused(std::string("{\"") + word + "\":1}",
                                                std::string("at \"#/") + word + "\": \"" + word +
                                                    "\" is not supported; docs/grammar.md has what is",
                                                PITH_E_UNSUPPORTED);
}

TEST_CASE("json schema: words with values that they cannot have") {
  const struct {
    const char *schema, *sentence;
    pith_status status = PITH_E_GRAMMAR;
  } cases[] = {
      {R"({"type":1})",
       "at \"#/type\": not a type, nor an array of them: null, boolean, number, integer, string, array, object"},
      {R"({"type":[]})",
       "at \"#/type\": not a type, nor an array of them: null, boolean, number, integer, string, array, object"},
      {R"({"type":["null","text"]})",
       "at \"#/type\": not a type, nor an array of them: null, boolean, number, integer, string, array, object"},
      {R"({"type":["text","null"]})",
       "at \"#/type\": not a type, nor an array of them: null, boolean, number, integer, string, array, object"},
      {R"({"enum":1})", "at \"#/enum\": not an array of values"},
      {R"({"enum":{}})", "at \"#/enum\": not an array of values"},
      {R"({"minimum":null})", "at \"#/minimum\": not a number"},
      {R"({"exclusiveMaximum":true})", "at \"#/exclusiveMaximum\": not a number"},
      {R"({"type":"integer","maximum":1000000000000000000})",
       "at \"#/maximum\": a bound of 10^18 or more is not supported", PITH_E_UNSUPPORTED},
      {R"({"type":"integer","minimum":-1e18})", "at \"#/minimum\": a bound of 10^18 or more is not supported",
       PITH_E_UNSUPPORTED},
      {R"({"type":"integer","minimum":1e99999999999})", "at \"#/minimum\": a bound of 10^18 or more is not supported",
       PITH_E_UNSUPPORTED},
      {R"({"type":"number","minimum":1.5})",
       "at \"#/minimum\": of numbers with fractions, bounds that are integers alone are supported", PITH_E_UNSUPPORTED},
      {R"({"type":"number","maximum":5e-1})",
       "at \"#/maximum\": of numbers with fractions, bounds that are integers alone are supported", PITH_E_UNSUPPORTED},
      {R"({"minLength":"1"})", "at \"#/minLength\": not a count"},
      {R"({"minLength":1.5})", "at \"#/minLength\": not a count"},
      {R"({"maxItems":-1})", "at \"#/maxItems\": not a count"},
      {R"({"maxLength":1e18})", "at \"#/maxLength\": not a count"},
      {R"({"pattern":1})", "at \"#/pattern\": not a string"},
      {R"({"format":1})", "at \"#/format\": not a string"},
      {R"({"type":"string","format":"regex"})",
       "at \"#/format\": the format \"regex\" is not supported; docs/grammar.md has those that are",
       PITH_E_UNSUPPORTED},
      {R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})",
       "at \"#/allOf/1/pattern\": a second one for the same string is not supported", PITH_E_UNSUPPORTED},
      {R"({"allOf":[{"format":"date"},{"format":"time"}]})",
       "at \"#/allOf/1/format\": a second one for the same string is not supported", PITH_E_UNSUPPORTED},
      {R"({"type":"string","pattern":"a","format":"date"})",
       "at \"#/pattern\": of pattern, format and lengths, one alone is supported for a string", PITH_E_UNSUPPORTED},
      {R"({"type":"string","format":"date","maxLength":1})",
       "at \"#/format\": of pattern, format and lengths, one alone is supported for a string", PITH_E_UNSUPPORTED},
      {R"({"enum":["a"],"minLength":0})",
       "at \"#/minLength\": \"minLength\" beside enum or const is not supported; leave it out, and the values that it "
       "would",
       PITH_E_UNSUPPORTED},
      {R"({"const":1,"properties":{}})",
       "at \"#/properties\": \"properties\" beside enum or const is not supported; leave it out, and the values that "
       "it would",
       PITH_E_UNSUPPORTED},
      {R"({"const":[1],"enum":[[1]]})",
       "at \"#/enum\": a second list of arrays or objects for the same value is not supported", PITH_E_UNSUPPORTED},
      {R"({"properties":1,"type":"object"})", "at \"#/properties\": not an object of schemas"},
      {R"({"required":{},"type":"object"})", "at \"#/required\": not an array of names"},
      {R"({"required":["a",1],"type":"object"})", "at \"#/required/1\": not a name"},
      {R"({"prefixItems":{},"type":"array"})", "at \"#/prefixItems\": not an array of schemas"},
      {R"({"items":1,"type":"array"})", "at \"#/items\": a schema is an object, true or false"},
      {R"({"additionalProperties":null,"type":"object"})",
       "at \"#/additionalProperties\": a schema is an object, true or false"},
      {R"({"allOf":{}})", "at \"#/allOf\": not an array of schemas"},
      {R"({"allOf":[1]})", "at \"#/allOf/0\": a schema is an object, true or false"},
      {R"({"anyOf":{}})", "at \"#/anyOf\": not an array of one schema or more"},
      {R"({"oneOf":[]})", "at \"#/oneOf\": not an array of one schema or more"},
      {R"({"anyOf":[{},1]})", "at \"#/anyOf/1\": a schema is an object, true or false"},
      {R"({"type":"array","prefixItems":[{},{},1]})", "at \"#/prefixItems/2\": a schema is an object, true or false"},
      {R"({"type":"array","prefixItems":[{}],"items":1})", "at \"#/items\": a schema is an object, true or false"},
      {R"({"type":"array","prefixItems":[1]})", "at \"#/prefixItems/0\": a schema is an object, true or false"},
      {R"({"allOf":[{"type":"null"},{"type":"boolean"}]})", "at \"#/allOf/0\": nothing fits this schema"},
      {R"({"$ref":1})", "at \"#/$ref\": not a string"},
      {R"({"$ref":"x"})", "at \"#/$ref\": references lead to \"#\" or \"#/...\", within this document, alone",
       PITH_E_UNSUPPORTED},
      {R"({"$ref":""})", "at \"#/$ref\": references lead to \"#\" or \"#/...\", within this document, alone",
       PITH_E_UNSUPPORTED},
      {R"({"$ref":"#a"})", "at \"#/$ref\": references lead to \"#\" or \"#/...\", within this document, alone",
       PITH_E_UNSUPPORTED},
      {R"({"$ref":"#/"})", "at \"#/$ref\": it leads to nothing in this document"},
      {R"({"$ref":"#/$defs/b","$defs":{"a":{}}})", "at \"#/$ref\": it leads to nothing in this document"},
      {R"({"$ref":"#/title/a","title":"a"})", "at \"#/$ref\": it leads to nothing in this document"},
      {R"({"items":{"$id":"x","$ref":"#"},"type":"array"})",
       "at \"#/items/$ref\": a reference within a schema that has an $id of its own is not supported",
       PITH_E_UNSUPPORTED},
      {"1", "at \"#\": a schema is an object, true or false"},
      {"[]", "at \"#\": a schema is an object, true or false"},
      {"false", "at \"#\": nothing fits this schema"},
      {R"({"allOf":[{},false]})", "at \"#\": nothing fits this schema"},
      {R"({"type":"string","minLength":3,"maxLength":2})", "at \"#\": nothing fits this schema"},
      {R"({"type":"array","minItems":3,"maxItems":2})", "at \"#\": nothing fits this schema"},
      {R"({"type":"integer","minimum":3,"maximum":2})", "at \"#\": nothing fits this schema"},
      {R"({"type":"array","minItems":1,"items":false})", "at \"#\": nothing fits this schema"},
      {R"({"allOf":[{"$ref":"#/allOf/0"}]})", "at \"#/allOf/0\": this schema refers to itself for the same value"},
      {R"({"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{},{"$ref":"#/$defs/a"}]}}})",
       "at \"#/$defs/a\": this schema refers to itself for the same value"},
  };
  for (const auto& c : cases) check_refused(c.schema, c.sentence, c.status);
  // The same twice is no second one; a schema that is reached on two ways is no circle.
  check_texts(R"({"type":"string","allOf":[{"pattern":"^a$"},{"pattern":"^\u0061$"}]})", {"\"a\""}, {"\"b\""});
  check_texts(
      R"({"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"},{"allOf":[{"$ref":"#/$defs/a"}]}],"$defs":{"a":{"const":1}}})",
      {"1"}, {"2"});
  check_texts(R"({"$id":"x","$ref":"#/$defs/a","$defs":{"a":{"const":1}}})", {"1"}, {"2"});
  check_texts(R"({"$defs":{"$id":{"const":2},"a":{"$ref":"#/$defs/$id"}},"$ref":"#/$defs/a"})", {"2"}, {"1"});
}

TEST_CASE("json schema: references") {
  check_texts(R"({"$ref":"#/$defs/a/0/10","$defs":{"a":[[0,1,2,3,4,5,6,7,8,9,{"const":10},11]]}})", {"10"}, {"1"});
  check_texts(R"({"$ref":"#/examples/1","examples":[{"const":0},{"const":1},{"const":2}]})", {"1"}, {"0", "2"});
  check_texts(R"({"$ref":"#/examples/0","examples":[{"const":0},{"const":1}]})", {"0"}, {"1"});
  check_texts(R"({"$ref":"#/examples/000000001","examples":[{"const":0},{"const":1}]})", {"1"}, {"0"});
  for (const char* token : {"2", "0000000001", "-1", "1a", "/", ":", "1/", "a", "4294967297"})
    check_refused(std::string(R"({"examples":[{"const":0},{"const":1}],"$ref":"#/examples/)") + token + "\"}",
                  "at \"#/$ref\": it leads to nothing in this document");
  for (const char* token : {":", "1~1", "0:", "1 "})  // as digits these would be 10, 9, 10 and a negative number
    check_refused("{\"examples\":[" + list_of(R"({"const":%})", 12) + "],\"$ref\":\"#/examples/" + token + "\"}",
                  "at \"#/$ref\": it leads to nothing in this document");
  const auto check_name = [](const std::string& name, const std::string& reference) {
    check_texts("{\"$ref\":\"#/$defs/" + reference + "\",\"$defs\":{\"" + name + "\":{\"const\":1}}}", {"1"}, {"2"});
  };
  check_name("a/b", "a~1b");
  check_name("a~b", "a~0b");
  check_name("~1", "~01");
  check_name("a~", "a~");
  check_name("a~2b", "a~2b");
  check_name("~/", "~0~1");
  check_name("a b", "a%20b");
  check_name("aJb", "a%4ab");
  check_name("aJb", "a%4Ab");
  for (const char digit : std::string("0123456789abcdefABCDEF"))
    check_name({'a', char(std::stoi(std::string("4") + digit, nullptr, 16))}, std::string("a%4") + digit);
  check_name("a\\nb", "a%0Ab");
  check_name("~", "%7e0");
  check_name("\xc3\xa9", "%C3%a9");
  check_name("\xc3\xa9", "\xc3\xa9");
  check_name("\xf0\x9f\x98\x80", "\\ud83d\\ude00");
  check_name("a%", "a%");
  check_name("a%4", "a%4");
  check_name("a%4g", "a%4g");
  check_name("a%g4", "a%g4");
  for (const char* cut : {"a%", "a%4"})  // nothing of a longer reference before it is taken for a digit
    check_texts(std::string(R"({"allOf":[{"$ref":"#/$defs/444444444444"},{"$ref":"#/$defs/)") + cut +
                    R"("}],"$defs":{"444444444444":{"enum":[1,2]},")" + cut + R"(":{"enum":[2,3]}}})",
                {"2"}, {"1", "3"});
  for (const char* name : {"a%-4", "a%4-", "a%:4", "a%4@", "a%`4", "a%4/"}) {
    const std::string text = name;
    check_name(text, text.back() == '/' ? "a%4~1" : text);
  }
  check_name("%41", "%2541");
  check_name("", "");
  check_texts(R"({"$ref":"#/$defs/a/b","$defs":{"a":{"b":{"const":1}}}})", {"1"}, {"2"});
  check_texts(R"({"$ref":"#/$defs/a/","$defs":{"a":{"":{"const":1}}}})", {"1"}, {"2"});
}

TEST_CASE("json schema: no byte behind the text is read, wherever it is cut") {
  const std::string words =
      R"("$defs":{"a/b":{"enum":[null,true,false,-1.5e+3,0.25,"\u00e9\ud83d\ude00\n",[[],{}],{"k":[1]}]}},"x-\u0041":"é")";
  CHECK(
      compile_prefixes(
          PITH_GRAMMAR_JSON_SCHEMA,
          "{" + words +
              R"(,"type":["object","string"],"properties":{"a":{"$ref":"#/$defs/a~1b"}},"pattern":"^[a-z\\d]{2,3}\\u0041$"} )") ==
      2);
  for (const char* text : {"-1", "1.5", "1e+5", "null", "true", "false", "\"a\\u00e9\"", " [1 , 2 ] ", "{\"a\" : 1 } "})
    CHECK(compile_prefixes(PITH_GRAMMAR_JSON_SCHEMA, text) == (std::string_view(text) == "true" ? 1 : 0));
  for (const char* text : {R"({"const":1})", R"({"type":"integer","minimum":-1e1})", R"({"const":[]})"})
    CHECK(compile_prefixes(PITH_GRAMMAR_JSON_SCHEMA, text) == 1);
  CHECK(compile_prefixes(PITH_GRAMMAR_JSON_SCHEMA, R"({"$ref":"#"})") == 0);
}
