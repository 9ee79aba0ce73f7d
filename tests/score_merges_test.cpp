// SentencePiece's BPE: against a slow reference over strings, what becomes of bytes, blanks and unknown characters, and
// malformed vocabularies. tests/python/test_tokenizer_sentence_piece.py compares with the package.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "vocabulary.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

const std::string kBlank = "\xe2\x96\x81";

// <unk>, </s>, the bytes where wanted, then pieces.
struct Scored {
  std::vector<std::string> tokens = {"<unk>", "</s>"};
  std::vector<int32_t> types = {2, 3};
  std::vector<float> scores = {0, 0};

  explicit Scored(bool has_bytes = true) {
    for (int byte = 0; has_bytes && byte < 256; ++byte) {
      char name[8];
      std::snprintf(name, sizeof name, "<0x%02X>", byte);
      add(name, 0, 6);
    }
  }
  int32_t add(const std::string& text, float score, int32_t type = 1) {
    tokens.push_back(text);
    types.push_back(type);
    scores.push_back(score);
    return int32_t(tokens.size()) - 1;
  }
  RawGguf file() const {
    RawGguf out;
    out.set_string("tokenizer.ggml.model", "llama");
    out.set("tokenizer.ggml.tokens", kArray, string_array(tokens));
    out.set("tokenizer.ggml.token_type", kArray, number_array<int32_t>(kI32, types));
    out.set("tokenizer.ggml.scores", kArray, number_array<float>(kF32, scores));
    return out;
  }
};

Ids encode(const Loaded& loaded, const std::string& text, const Reading& reading = {}, size_t* missing = nullptr) {
  Ids out(4 * text.size() + 4);
  const Block work = block_of(TextTokenizer::work_bytes(text.size()));
  out.resize(loaded.tokenizer->encode(text, out.data(), out.size(), work.get(), reading, missing));
  return out;
}

}  // namespace

TEST_CASE("scores: random vocabularies against merging strings, highest score first") {
  const uint64_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    Scored vocabulary;
    std::map<std::string, std::pair<float, int32_t>> pieces;
    const std::vector<std::string> letters = {"a", "b", "\xc3\xa9"};  // of which some are tokens
    for (const std::string& letter : letters) {
      if (random() % 4 > 0) pieces[letter] = {-100, vocabulary.add(letter, -100)};
    }
    for (int i = 0; i < 25; ++i) {
      std::string word;
      for (size_t n = 2 + random() % 4; n-- > 0;) word += letters[random() % 3];
      const float score = -float(random() % 8);
      const int32_t id = vocabulary.add(word, score);
      pieces.emplace(word, std::pair{score, id});
    }
    RawGguf file = vocabulary.file();
    file.set("tokenizer.ggml.add_space_prefix", kBool, {0});
    const Loaded loaded(file);
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    for (int i = 0; i < 30; ++i) {
      std::vector<std::string> symbols;
      std::string text;
      for (size_t n = 1 + random() % 30; n-- > 0; text += symbols.back()) symbols.push_back(letters[random() % 3]);
      for (;;) {
        size_t best = symbols.size();
        for (size_t at = 0; at + 1 < symbols.size(); ++at) {
          const auto found = pieces.find(symbols[at] + symbols[at + 1]);
          if (found == pieces.end()) continue;
          if (best == symbols.size() || found->second.first > pieces[symbols[best] + symbols[best + 1]].first)
            best = at;
        }
        if (best == symbols.size()) break;
        symbols[best] += symbols[best + 1];
        symbols.erase(symbols.begin() + long(best) + 1);
      }
      Ids expected;
      for (const std::string& symbol : symbols) {
        if (const auto found = pieces.find(symbol); found != pieces.end()) expected.push_back(found->second.second);
        else
          for (const char byte : symbol) expected.push_back(2 + uint8_t(byte));
      }
      CAPTURE(text);
      REQUIRE(encode(loaded, text) == expected);
    }
  }
}

TEST_CASE("scores: blanks, bytes and special tokens") {
  Scored vocabulary;
  const int32_t blank = vocabulary.add(kBlank, -5), a = vocabulary.add("a", -6),
                both = vocabulary.add(kBlank + "a", -1);
  const int32_t tool = vocabulary.add("<tool>", 0, 4), pad = vocabulary.add("[PAD0]", -1000, 5);
  const Loaded loaded(vocabulary.file());
  REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
  const TextTokenizer& t = *loaded.tokenizer;
  CHECK(encode(loaded, "") == Ids{});
  CHECK(encode(loaded, "a") == Ids{both});
  CHECK(encode(loaded, " a") == Ids{blank, both});
  CHECK(encode(loaded, kBlank + "a") == Ids{blank, both});
  CHECK(encode(loaded, "aa\n") == Ids{both, a, 2 + '\n'});
  CHECK(encode(loaded, "\xff\xe2\x96") == Ids{blank, 2 + 0xff, 2 + 0xe2, 2 + 0x96});
  CHECK(encode(loaded, "a<tool>a") == Ids{both, tool, a});  // no blank behind an added token
  CHECK(encode(loaded, "a</s>a</s>", {Specials::are_found}) == Ids{both, 1, both, 1});
  CHECK(encode(loaded, "</s>").size() == 5);
  CHECK(t.decode(both) == " a");
  CHECK(t.decode(2 + 0x41) == "A");
  CHECK(t.decode(1).empty());
  CHECK(t.text(1) == "</s>");
  CHECK(t.decode(tool) == "<tool>");
  CHECK(t.decode(pad).empty());
  CHECK(t.token_id("\n") == 2 + '\n');
  CHECK(t.token_id(" a") == both);
  CHECK(t.token_id("[PAD0]") == -1);
  CHECK(t.is_special(0));
  CHECK_FALSE(t.is_special(tool));
}

TEST_CASE("scores: without tokens of bytes, a run of unknown characters is one token, or where it is") {
  Scored vocabulary(false);
  const int32_t a = vocabulary.add("a", -1);
  const Loaded with(vocabulary.file());
  REQUIRE_MESSAGE(with.status == PITH_OK, with.error.message);
  CHECK(encode(with, "a") == Ids{0, a});  // the blank is unknown
  CHECK(encode(with, "xyaz\xff") == Ids{0, a, 0});
  vocabulary.types[0] = 3;
  const Loaded without(vocabulary.file());
  REQUIRE_MESSAGE(without.status == PITH_OK, without.error.message);
  size_t missing = 0;
  CHECK(encode(without, "aa", {}, &missing) == Ids{a, a});
  CHECK(missing == 0);  // the blank in front
  RawGguf file = vocabulary.file();
  file.set("tokenizer.ggml.add_space_prefix", kBool, {0});
  const Loaded bare(file);
  CHECK(encode(bare, "aa", {}, &missing) == Ids{a, a});
  CHECK(missing == SIZE_MAX);
  CHECK(encode(bare, "</s>aa" + kBlank + "x", {Specials::are_found}, &missing) == Ids{1, a, a});
  CHECK(missing == 6);
  CHECK(encode(bare, "aaxa", {}, &missing) == Ids{a, a, a});
  CHECK(missing == 2);
}

TEST_CASE("scores: malformed vocabularies are refused by the name of the key") {
  struct Case {
    const char *name, *field;
    pith_status status;
    std::function<void(Scored*)> change;
    std::function<void(RawGguf*)> change_file = [](RawGguf*) {};
  };
  const auto nothing = [](Scored*) {};
  const Case cases[] = {
      {"no scores", "tokenizer.ggml.scores", PITH_E_VOCABULARY, nothing,
       [](RawGguf* f) { f->remove("tokenizer.ggml.scores"); }},
      {"fewer scores", "tokenizer.ggml.scores", PITH_E_VOCABULARY, [](Scored* v) { v->scores.pop_back(); }},
      {"scores are integers", "tokenizer.ggml.scores", PITH_E_TYPE, nothing,
       [](RawGguf* f) {
         f->set("tokenizer.ggml.scores", kArray, number_array<int32_t>(kI32, std::vector<int32_t>(258, 0)));
       }},
      {"a score that is no number", "tokenizer.ggml.scores: the score of token 5", PITH_E_VOCABULARY,
       [](Scored* v) { v->scores[5] = std::numeric_limits<float>::quiet_NaN(); }},
      {"a byte of another name", "tokenizer.ggml.tokens: token 5", PITH_E_VOCABULARY,
       [](Scored* v) { v->tokens[5] = std::string("<0xG0>"); }},
      {"a byte of one letter", "tokenizer.ggml.tokens: token 5", PITH_E_VOCABULARY,
       [](Scored* v) { v->tokens[5].assign(1, 'A'); }},
      {"a token of 1,025 bytes", "tokenizer.ggml.tokens: token 258", PITH_E_LIMIT,
       [](Scored* v) { v->add(std::string(1025, 'a'), 0); }},
      {"an empty token", "tokenizer.ggml.tokens: token 258", PITH_E_VOCABULARY, [](Scored* v) { v->add("", 0); }},
      {"add_space_prefix is a number", "tokenizer.ggml.add_space_prefix", PITH_E_TYPE, nothing,
       [](RawGguf* f) { f->set_u32("tokenizer.ggml.add_space_prefix", 1); }},
  };
  for (const Case& c : cases) {
    Scored vocabulary;
    c.change(&vocabulary);
    RawGguf file = vocabulary.file();
    c.change_file(&file);
    const Loaded loaded(file);
    INFO(std::string(c.name), ": ", std::string(loaded.error.message));
    CHECK(loaded.status == c.status);
    CHECK(std::string(loaded.error.message).find(c.field) != std::string::npos);
  }
  Scored odd;  // and what is odd, but fine
  odd.scores[3] = std::numeric_limits<float>::infinity();
  odd.scores[4] = -std::numeric_limits<float>::infinity();
  odd.tokens[5] = odd.tokens[6];
  odd.add(std::string(1024, 'a'), -0.0f);
  odd.add(kBlank + kBlank, 1, 99);
  const Loaded loaded(odd.file());
  CHECK_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
}

TEST_CASE("scores: a text of one letter and tokens of many lengths take time that is not quadratic") {
  Scored vocabulary;
  for (int n = 1; n <= 1024; ++n) vocabulary.add(std::string(size_t(n), 'a'), -float(n));
  for (int n = 0; n <= 10; ++n) vocabulary.add(std::string(size_t(1) << n, ' '), float(n));
  const auto start = std::chrono::steady_clock::now();
  const Loaded loaded(vocabulary.file());
  REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
  for (const char letter : {'a', ' ', '\n', '\xff'}) {
    const std::string text(1 << 20, letter);
    std::string back;
    for (const int32_t id : encode(loaded, text)) back += loaded.tokenizer->decode(id);
    CHECK((back == " " + text));  // a failure shows no megabytes
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  MESSAGE("4 MiB in ", seconds, " s");
  CHECK(seconds < 60);  // room for sanitizers and emulators
}
