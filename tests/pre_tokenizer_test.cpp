// The pre-tokeniser: pieces of known texts, and of random ones against the pattern.
#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "vocabulary.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

enum class Class { letter, number, space, other };

// Of a character of the stand-in text: letters, digits, ' ' and tab, the rest.
Class class_of(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return Class::letter;
  if (c >= '0' && c <= '9') return Class::number;
  return c == ' ' || c == '\t' ? Class::space : Class::other;
}

size_t run_length(std::string_view text, size_t at, Class kind) {
  size_t n = 0;
  while (at + n < text.size() && class_of(text[at + n]) == kind) ++n;
  return n;
}

// What the pattern matches at `at`: its alternatives in their order, each greedy and giving back where it must.
size_t match_pattern(std::string_view text, size_t at) {
  for (const std::string_view ending : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.substr(at).starts_with(ending)) return ending.size();
  }
  for (const Class kind : {Class::letter, Class::number, Class::other}) {  // ` ?X+`
    for (const size_t spaces : {1, 0}) {
      if (spaces == 1 && text[at] != ' ') continue;
      if (const size_t n = run_length(text, at + spaces, kind); n > 0) return spaces + n;
    }
  }
  const size_t n = run_length(text, at, Class::space);
  for (size_t shorter = n; shorter > 0; --shorter) {  // `\s+(?!\S)`
    if (at + shorter == text.size() || class_of(text[at + shorter]) == Class::space) return shorter;
  }
  return n;  // `\s+`
}

}  // namespace

TEST_CASE("pre-tokeniser: pieces of known texts") {
  struct Case {
    const char* text;
    std::vector<std::string> pieces;
  };
  const Case cases[] = {
      {"don't we'll", {"don", "'t", " we", "'ll"}},
      {"it's 'sure' 'S", {"it", "'s", " '", "sure", "'", " '", "S"}},
      {"a  b   c", {"a", " ", " b", "  ", " c"}},
      {"a\n\nb \n", {"a", "\n", "\n", "b", " \n"}},
      {"x1y22", {"x", "1", "y", "22"}},
      {" 3.5!", {" 3", ".", "5", "!"}},
      {"\tx", {"\t", "x"}},
      {"caf\xc3\xa9 \xe4\xbd\xa0\xe5\xa5\xbd", {"caf\xc3\xa9", " \xe4\xbd\xa0\xe5\xa5\xbd"}},
      {"a\xc2\xa0"
       "b",
       {"a", "\xc2\xa0", "b"}},
      {"a\xff\xfe"
       "b",
       {"a", "\xff\xfe", "b"}},
      {"a\xed\xa0\x80"
       "b",
       {"a", "\xed\xa0\x80", "b"}},  // a surrogate is no character
      {"a\xe2\x82", {"a", "\xe2\x82"}},
      {"'", {"'"}},
      {"''re", {"''", "re"}},
      {"  ", {"  "}},
      {"", {}},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(pieces_of(c.text) == c.pieces);
  }
}

TEST_CASE("pre-tokeniser: the pieces of the tokenizers package, pattern by pattern") {
  std::ifstream file(PITH_SOURCE_DIR "/tests/golden/pre_tokenizer_cases.tsv");
  std::set<std::string> patterns;
  int n = 0;
  for (std::string line; std::getline(file, line); ++n) {
    std::istringstream fields(line);
    std::string pattern, text;
    std::vector<std::string> expected;
    fields >> pattern;
    for (std::string hex; fields >> hex; text += expected.back()) {
      expected.emplace_back();
      for (size_t i = 0; i < hex.size(); i += 2) expected.back() += char(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    CAPTURE(line);
    CHECK(pieces_of(text, pattern) == expected);
    patterns.insert(pattern);
  }
  CHECK(n >= 200);
  CHECK(patterns.size() == 10);
}

TEST_CASE("pre-tokeniser: any bytes are parted in linear time, by every pattern") {
  const uint64_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const char* const patterns[] = {"gpt-2",        "smollm",         "llama-bpe",   "qwen2", "glm4",
                                  "deepseek-llm", "deepseek-coder", "deepseek-v3", "youtu", "kimi-k2"};
  const std::string units[] = {
      "a",        "A", " ",  "\n", " \n",      "7",    ".", "\xff",         "\xe4\xb8\xad", "A\xe4\xb8\xad",
      "\xcc\x81", "'", "'s", "a ", "\xc2\x85", "\x01", "/", "\xe3\x80\x82", "\xed\x95\x9c", "\xe3\x80\x80",
      "aB"};
  for (const char* pattern : patterns) {
    CAPTURE(pattern);
    for (const std::string& unit : units) {
      std::string text;
      while (text.size() < 100000) text += unit;
      std::string joined;
      for (const std::string& piece : pieces_of(text + "x", pattern)) joined += piece;
      CHECK(joined == text + "x");
    }
    for (int round = 0; round < 300; ++round) {
      std::string text(random() % 50, ' ');
      for (char& c : text) c = char(random());
      std::string joined;
      for (const std::string& piece : pieces_of(text, pattern)) joined += piece;
      CHECK(joined == text);
    }
  }
  CHECK(find_pre_tokenizer("llama-bpe2") == nullptr);
  CHECK(find_pre_tokenizer("") == nullptr);
}

TEST_CASE("pre-tokeniser: random texts against the pattern, alternative by alternative") {
  // Every character has an ASCII stand-in of its kind, so that the pattern knows no Unicode.
  struct Character {
    const char* text;
    char stand_in;
  };
  const Character characters[] = {{"s", 's'},
                                  {"t", 't'},
                                  {"r", 'r'},
                                  {"e", 'e'},
                                  {"v", 'v'},
                                  {"m", 'm'},
                                  {"l", 'l'},
                                  {"d", 'd'},
                                  {"'", '\''},
                                  {"'", '\''},
                                  {"\xc3\xa9", 'Q'},
                                  {"\xe4\xb8\xad", 'Q'},
                                  {"\xf0\x90\x90\x80", 'Q'},
                                  {"7", '7'},
                                  {"\xc2\xbd", '7'},
                                  {"\xd9\xa3", '7'},
                                  {"\xe2\x85\xa7", '7'},
                                  {" ", ' '},
                                  {" ", ' '},
                                  {" ", ' '},
                                  {"\n", '\t'},
                                  {"\xc2\x85", '\t'},
                                  {"\xe3\x80\x80", '\t'},
                                  {"\xe2\x80\xa9", '\t'},
                                  {".", '!'},
                                  {"\xcc\x81", '!'},
                                  {"\xf0\x9f\xa6\x8a", '!'},
                                  {"\xe2\x80\x8b", '!'},
                                  {"\x80", '!'},
                                  {"\xff", '!'},
                                  {"\xc0", '!'},
                                  {"\x01", '!'}};
  const uint64_t seed = 10;
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 5000; ++round) {
    std::string text, stand_ins;
    std::vector<size_t> starts;
    for (size_t i = random() % 20; i-- > 0;) {
      const Character& c = characters[random() % std::size(characters)];
      starts.push_back(text.size());
      text += c.text;
      stand_ins += c.stand_in;
    }
    starts.push_back(text.size());
    std::vector<std::string> expected;
    for (size_t at = 0; at < stand_ins.size();) {
      const size_t n = match_pattern(stand_ins, at);
      REQUIRE(n > 0);
      expected.push_back(text.substr(starts[at], starts[at + n] - starts[at]));
      at += n;
    }
    CAPTURE(text);
    REQUIRE(pieces_of(text) == expected);
  }
}
