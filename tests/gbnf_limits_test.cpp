// Grammars in GBNF to the letter: which bytes each notation takes; every limit of the reader at its last value and beyond.
#include <doctest/doctest.h>

#include "grammar_testing.h"

using namespace pith::test;

namespace {

bool fits(const std::string& gbnf, std::string_view text) {
  CAPTURE(gbnf);
  return Matching(PITH_GRAMMAR_GBNF, gbnf, bytes_alone()).fits(text);
}

// Refused, with exactly this sentence behind "grammar: ".
void check_refused(const std::string& gbnf, const std::string& sentence, pith_status status = PITH_E_GRAMMAR) {
  CAPTURE(gbnf);
  const Compiled grammar(PITH_GRAMMAR_GBNF, gbnf);
  CHECK(int(grammar.status) == int(status));
  CHECK(std::string(grammar.error.message) == "grammar: " + sentence);
}

bool is_among(char c, const char* letters) {
  return c != '\0' && std::string_view(letters).find(c) != std::string_view::npos;
}
bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

TEST_CASE("grammar: every byte in a name, as an escape, as a digit, and between things") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const char c = char(byte);
    const std::string text(1, c);
    // At the end of a name; a line end, a comment or a blank ends it, and "::=" is then missing.
    const Compiled named(PITH_GRAMMAR_GBNF, "root ::= \"a\"\nx" + text + "::= \"b\"");
    CHECK((named.status == PITH_OK) == (is_letter_or_digit(c) || is_among(c, "-_ \t\r")));
    const Compiled hexadecimal(PITH_GRAMMAR_GBNF, "root ::= \"\\x4" + text + "\"");
    const bool is_hex = is_among(c, "0123456789abcdefABCDEF");
    CHECK((hexadecimal.status == PITH_OK) == is_hex);
    if (is_hex) CHECK(fits("root ::= \"\\x4" + text + "\"", std::string(1, char(std::stoi("4" + text, nullptr, 16)))));
    const Compiled escape(PITH_GRAMMAR_GBNF, "root ::= \"\\" + text + "\"");
    CHECK((escape.status == PITH_OK) == is_among(c, "nrt\\\"[]-^"));
    const Compiled number(PITH_GRAMMAR_GBNF, "root ::= \"a\"{1" + text + "}");
    CHECK((number.status == PITH_OK) == ((c >= '0' && c <= '9') || is_among(c, ", \t\r")));
    // Between two literals: what is blank, what begins something, and what is refused.
    const Compiled between(PITH_GRAMMAR_GBNF, "root ::= \"a\"" + text + "\"b\"");
    CHECK((between.status == PITH_OK) == is_among(c, " \t\r#|*+?."));
    const Compiled in_literal(PITH_GRAMMAR_GBNF, "root ::= \"" + text + "a\"");
    CHECK((in_literal.status == PITH_OK) == (byte < 0x80 && !is_among(c, "\n\"\\")));
    if (in_literal.status == PITH_OK) CHECK(fits("root ::= \"" + text + "a\"", text + "a"));
    const Compiled in_class(PITH_GRAMMAR_GBNF, "root ::= [" + text + "a]");
    CHECK((in_class.status == PITH_OK) == (byte < 0x80 && !is_among(c, "\n]\\")));
  }
}

TEST_CASE("grammar: escapes are characters, of two, four and eight digits") {
  for (const char* escape : {"\\\\", "\\\"", "\\[", "\\]", "\\-", "\\^"}) {
    CHECK(fits(std::string("root ::= \"") + escape + "\"", {escape + 1, 1}));
    CHECK(fits(std::string("root ::= [") + escape + "]", {escape + 1, 1}));
  }
  CHECK(fits("root ::= [\\^a]+", "^a"));
  CHECK(!fits("root ::= [^\\^a]+", "^"));
  const struct {
    const char* escape;
    uint32_t character;
  } good[] = {{"\\x00", 0},
              {"\\x7f", 0x7f},
              {"\\xfF", 0xff},
              {"\\u0041", 0x41},
              {"\\u20aC", 0x20ac},
              {"\\ud7ff", 0xd7ff},
              {"\\ue000", 0xe000},
              {"\\uFFFF", 0xffff},
              {"\\U0001f600", 0x1f600},
              {"\\U0010ffff", 0x10ffff},
              {"\\U00000061", 0x61}};
  for (const auto& c : good) CHECK(fits(std::string("root ::= \"") + c.escape + "1\"", utf8(c.character) + "1"));
  for (const char* escape : {"\\ud800", "\\udfff", "\\U00110000", "\\Uffffffff", "\\U0000d800"})
    check_refused(std::string("root ::= \"") + escape + "\"", "line 1: an escape that is no character of Unicode");
  check_refused("root ::= \"\\x4\"", "line 1: an escape needs 2 hexadecimal digits");
  check_refused("root ::= \"\\u004\"", "line 1: an escape needs 4 hexadecimal digits");
  check_refused("root ::= \"\\U0001f60\"", "line 1: an escape needs 8 hexadecimal digits");
  check_refused("root ::= \"\\", "line 1: the escape \"\\\\x00\" is not known");
  check_refused("root ::= \"\\q\"", "line 1: the escape \"\\q\" is not known");
  check_refused("root ::= \"\\x4", "line 1: an escape needs 2 hexadecimal digits");
}

TEST_CASE("grammar: classes") {
  CHECK(fits("root ::= [b-b]", "b"));
  CHECK(fits("root ::= [b-d]{3}", "bcd"));
  CHECK(!fits("root ::= [b-d]", "a"));
  CHECK(!fits("root ::= [b-d]", "e"));
  CHECK(fits("root ::= [\\-b-d-]+", "-c-"));
  CHECK(fits("root ::= [+--]{3}", "+,-"));  // a range that ends with "-"
  CHECK(!fits("root ::= [^-]", "-"));
  CHECK(fits("root ::= [^-]", "^"));
  CHECK(fits("root ::= [a^]+", "^a"));
  CHECK(fits("root ::= [\\u00e9-\\u00eb]", "\xc3\xaa"));
  check_refused("root ::= []", "line 1: a class of no characters");
  check_refused("root ::= [^]", "line 1: a class of no characters");
  check_refused("root ::= [c-b]", "line 1: a range of a class whose end comes before its beginning");
  check_refused("root ::= [a-", "line 1: a literal or class does not end on its line");
  check_refused("root ::= [a\n]", "line 1: a literal or class does not end on its line");
  const auto ranges = [](uint32_t n, const char* sign) {
    std::string out = std::string("root ::= [") + sign;
    for (uint32_t i = 0; i < n; ++i) out += utf8(0x100 + 2 * i);
    return out + "]";
  };
  Matching matching(PITH_GRAMMAR_GBNF, ranges(256, ""), bytes_alone());
  for (uint32_t c = 0xfe; c < 0x100 + 2 * 256 + 2; ++c)
    CHECK(matching.fits(utf8(c)) == (c % 2 == 0 && c >= 0x100 && c < 0x100 + 2 * 256));
  Matching others(PITH_GRAMMAR_GBNF, ranges(255, "^"), bytes_alone());
  for (uint32_t c = 0xfe; c < 0x100 + 2 * 255 + 2; ++c)
    CHECK(others.fits(utf8(c)) == (c % 2 != 0 || c < 0x100 || c >= 0x100 + 2 * 255));
  for (const uint32_t n : {257u, 258u, 1000u}) check_refused(ranges(n, ""), "line 1: a class of more than 256 ranges");
  check_refused(ranges(256, "^"), "line 1: a class of more than 256 ranges");  // what is left of all are 257
}

TEST_CASE("grammar: repetitions") {
  const auto counts = [](const char* times, size_t least, size_t most) {  // most: of those that are tried
    const Compiled grammar(PITH_GRAMMAR_GBNF, std::string("root ::= \"<\" \"ab\"") + times + "\">\"");
    Matching matching(grammar, bytes_alone());
    CAPTURE(times);
    std::string text = "<";
    for (size_t n = 0; n < 14; ++n, text += "ab") CHECK(matching.fits(text + ">") == (n >= least && n <= most));
  };
  counts("*", 0, 14);
  counts("+", 1, 14);
  counts("?", 0, 1);
  counts("{0}", 0, 0);
  counts("{9}", 9, 9);
  counts("{12}", 12, 12);
  counts("{3,}", 3, 14);
  counts("{0,}", 0, 14);
  counts("{3,5}", 3, 5);
  counts("{ 3\t, 5 }", 3, 5);
  counts("{ 3 ,}", 3, 14);
  counts("{4,4}", 4, 4);
  counts("{0,1}", 0, 1);
  check_refused("root ::= \"a\"{3,2}", "line 1: a repetition of at least 3 and at most 2");
  check_refused("root ::= \"a\"{}", "line 1: a repetition needs a number after its \"{\" and \",\"");
  check_refused("root ::= \"a\"{,3}", "line 1: a repetition needs a number after its \"{\" and \",\"");
  check_refused("root ::= \"a\"{3,x}", "line 1: a repetition needs a number after its \"{\" and \",\"");
  check_refused("root ::= \"a\"{3", "line 1: a repetition lacks its \"}\"");
  check_refused("root ::= \"a\"{3,4", "line 1: a repetition lacks its \"}\"");
  check_refused("root ::= \"a\"{1048577}", "line 1: a repetition of more than 1048576");
  check_refused("root ::= \"a\"{0,1048577}", "line 1: a repetition of more than 1048576");
  check_refused("root ::= \"a\"{42949672970}", "line 1: a repetition of more than 1048576");  // 10 modulo 2^32
  CHECK(int(Compiled(PITH_GRAMMAR_GBNF, "root ::= \"a\"{1048576}").status) == int(PITH_E_LIMIT));
  for (const char* nothing : {"*", "\"a\" | *", "(*)", "(\"a\" | {2})", "\n*"})
    check_refused(std::string("root ::= ") + nothing,
                  std::string(nothing[0] == '\n' ? "line 2" : "line 1") + ": nothing stands before the repetition");
  CHECK(fits("root ::= \"a\"{2}{3}", "aaaaaa"));
  CHECK(fits("root ::= \"x\" \"ab\"{2} [c]{2} .{2} (\"d\" | \"e\"){2} r{2}\nr ::= \"f\"", "xababccyyedff"));
}

TEST_CASE("grammar: groups, lines and comments") {
  CHECK(fits("root ::= \"x\" (\"a\" | (\"b\" | \"c\") \"d\") \"y\"", "xcdy"));
  CHECK(fits("root ::= \"x\" (\"a\" | (\"b\" | \"c\") \"d\") \"y\"", "xay"));
  CHECK(!fits("root ::= \"x\" (\"a\" | (\"b\" | \"c\") \"d\") \"y\"", "xby"));
  CHECK(fits("\r\n \t# first\r\nroot ::= \"a\" #c\r\n  # d\n\n | \"b\"#e\n#f", "b"));
  CHECK(fits("root ::=\n\n # c\n \"a\" |\n\n\"b\"\nx ::= \"y\"", "b"));
  CHECK(fits("root ::= (\n\"a\"\n\n#c\n\"b\"\n)\n\n", "ab"));
  CHECK(fits("root::=\"a\"b\"c\"\nb::=\"b\"", "abc"));
  CHECK(fits("root ::= a\n\n\na ::= \"x\"", "x"));
  CHECK(fits("root ::= ()", ""));
  CHECK(fits("root ::= (\"a\")(\"b\")", "ab"));
  const auto nested = [](size_t n) {
    std::string out = "root ::= ";
    for (size_t i = 0; i < n; ++i) out += "(";
    out += "\"a\"";
    for (size_t i = 0; i < n; ++i) out += ")";
    return out;
  };
  CHECK(fits(nested(63), "a"));
  check_refused(nested(64), "line 1: more than 64 groups within each other");
  check_refused("root ::= \"a\"\n\n ::= \"b\" and more",
                "line 3: a rule begins with its name, not with \"::= \"b\" \"");
  check_refused("\n\nroot\n ::= \"a\"", "line 3: \"::=\" must follow the name \"root\"");
  check_refused("root ::= $23456789", "line 1: \"$2345678\" is not understood");
  check_refused("root ::= \"a\"\n\n\n  | \"b\" $", "line 4: \"$\" is not understood");
  check_refused("root ::= \"a\"\n\n\nb ::= $", "line 4: \"$\" is not understood");
  check_refused("root ::= \"a\"\n# c\n\nb ::= \"c\"\n# d\nroot ::= \"x\"", "line 6: rule \"root\" is defined twice");
  check_refused("root ::= \"a\" )", "line 1: a \")\" that closes no group");
  check_refused("root ::=\n(\n\"a\" (", "line 3: the group of line 3 lacks its \")\"");
  check_refused("root ::=\n(\n\"a\"\n# c\n", "line 5: the group of line 2 lacks its \")\"");
  check_refused("root ::= x\n\ny ::= \"b\"\n", "line 1: rule \"x\" is used and not defined");
  check_refused("root ::= y\n\ny ::= \"b\" |\n\n z\n", "line 5: rule \"z\" is used and not defined");
  check_refused(std::string("root ::= \0", 10), "line 1: \"\\x00\" is not understood");
  check_refused(std::string("root ::= \"a\" # \0 c\n $", 21), "line 2: a rule begins with its name, not with \"$\"");
  check_refused("root ::= <x>", "line 1: tokens by number or name are not supported", PITH_E_UNSUPPORTED);
  check_refused("root ::=\n !<x>", "line 2: tokens by number or name are not supported", PITH_E_UNSUPPORTED);
  check_refused("root ::= \"\xc3\"", "line 1: bytes that are not UTF-8");
  check_refused("a ::= \"x\"\n", "line 1: rule \"root\" is used and not defined");
  check_refused("\n\na ::= \"x\" root", "line 3: rule \"root\" is used and not defined");
}

TEST_CASE("grammar: rules and states, as many as there is room for") {
  check_refused("root ::= (\"a\"{1000}){1000} \"b\"\nx ::= \"c\"\n",  // behind what is too much, nothing is read
                "it needs more than 32768 states, or 8192 rules; raise max_states of pith_grammar_source",
                PITH_E_LIMIT);
  // 1,024 states are 256 rules; each of these is an instruction to leave, and a byte or a call of the next.
  const auto chain = [](int n) {
    std::string out = "root ::= r1\n";
    for (int i = 1; i < n - 1; ++i) out += "r" + std::to_string(i) + " ::= \"x\" r" + std::to_string(i + 1) + "\n";
    return out + "r" + std::to_string(n - 1) + " ::= \"y\"\n";
  };
  const Compiled most(PITH_GRAMMAR_GBNF, chain(256), 1024);
  CHECK(Matching(most, bytes_alone()).fits(std::string(254, 'x') + "y"));
  std::string unused = "root ::= \"y\"\n";  // rules that nobody calls
  for (int i = 1; i < 256; ++i) unused += "r" + std::to_string(i) + " ::= \"y\"\n";
  CHECK(int(Compiled(PITH_GRAMMAR_GBNF, unused, 1024).status) == int(PITH_OK));
  CHECK(int(Compiled(PITH_GRAMMAR_GBNF, unused + "more ::= \"y\"", 1024).status) == int(PITH_E_LIMIT));
  const Compiled beyond(PITH_GRAMMAR_GBNF, chain(257), 1024);
  CHECK(int(beyond.status) == int(PITH_E_LIMIT));
  CHECK(std::string(beyond.error.message) ==
        "grammar: it needs more than 1024 states, or 256 rules; raise max_states of pith_grammar_source");
}

TEST_CASE("grammar: no byte behind the text is read, wherever it is cut") {
  const char* text =
      "# c\nroot ::= \"a\\x41\\u00e9\\U0001f600\\n\xc3\xa9\" | (b \"c\")* [^a-z\\]\xf0\x9f\x98\x80-\xf0\x9f\x98\x82]{ "
      "2 , 3 } .\r\n"
      "b ::= \"x\"? \"y\"+ \"z\"{2,} # d\n  | \"w\"{3}";
  CHECK(compile_prefixes(PITH_GRAMMAR_GBNF, text) > 10);
}
