// Added tokens: the longest name at the first place, against a slow search; names made to cost time.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "vocabulary.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

using Kind = AddedTokens::Kind;
using Which = AddedTokens::Which;

struct Names {
  Block memory;
  AddedTokens tokens;

  explicit Names(const std::vector<std::pair<std::string, Kind>>& names) {
    size_t n = 0;
    for (const auto& [name, kind] : names) n += name.size();
    Arena measure;
    tokens.lay_out(&measure, n);
    memory = block_of(measure.used());
    Arena arena(memory.get());
    tokens.lay_out(&arena, n);
    tokens.clear();
    for (size_t i = 0; i < names.size(); ++i) tokens.add(names[i].first, int32_t(i), names[i].second);
    tokens.finish();
  }
  Ids starts(const std::string& text, Which which) const {
    Ids out(text.size());
    tokens.find_all(text, which, out.data());
    return out;
  }
};

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("added tokens: random names against a search at every place") {
  const uint64_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const auto word = [&](size_t longest) {
    std::string out(1 + random() % longest, 'a');
    for (char& c : out) c = char('a' + random() % 3 / 2);  // more of one than of the other
    return out;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<std::pair<std::string, Kind>> names;
    std::map<std::string, size_t> first;  // of equal names
    for (size_t i = random() % 12; i-- > 0;) {
      names.emplace_back(word(7), random() % 2 == 0 ? Kind::special : Kind::user_defined);
      first.emplace(names.back().first, names.size() - 1);
    }
    const Names added(names);
    const std::string text = word(60);
    for (const Which which : {Which::special, Which::user_defined, Which::all}) {
      Ids expected(text.size(), -1);
      for (size_t at = 0; at < text.size(); ++at) {
        for (size_t n = text.size() - at; n > 0 && expected[at] < 0; --n) {
          const auto found = first.find(text.substr(at, n));
          if (found == first.end()) continue;
          const bool counts =
              which == Which::all || (names[found->second].second == Kind::special) == (which == Which::special);
          if (counts) expected[at] = int32_t(found->second);
        }
      }
      CAPTURE(text);
      REQUIRE(added.starts(text, which) == expected);
    }
    for (const auto& [name, index] : first) CHECK(added.tokens.find(name) == int32_t(index));
    CHECK(added.tokens.find(word(7) + "c") == -1);
    CHECK(added.tokens.find("") == -1);
  }
}

TEST_CASE("added tokens: names that nearly match everywhere cost linear time") {
  const std::string million(1000000, 'a');
  for (const std::string& name :
       {million + "b", "b" + million, million.substr(500000) + "b" + million.substr(500000)}) {
    const double seconds = seconds_of([&] {
      const Names added({{name, Kind::special}, {"aaaaab", Kind::user_defined}});
      CHECK(added.starts(million, Which::all) == Ids(million.size(), -1));
      CHECK(added.starts(name, Which::special)[0] == 0);
    });
    CHECK(seconds < 20);  // n^2 steps of 1 ns would take 1,000 s; room for sanitizers and emulators
  }
}

TEST_CASE("added tokens: a million of them load in linear time") {
  RawVocabulary vocabulary;
  for (int i = 0; i < 1000000; ++i) {
    vocabulary.tokens.push_back("<|" + std::to_string(i) + "|>");
    vocabulary.types.push_back(i % 2 == 0 ? 3 : 4);
  }
  const RawGguf file = vocabulary.file();
  const double seconds = seconds_of([&] {
    const Loaded loaded(file);
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    CHECK(loaded.tokenizer->token_id("<|999999|>") == 257 + 999999);
    CHECK(loaded.encode("x<|77777|>") == Ids{1 + 'x', 257 + 77777});
    CHECK(loaded.encode("<|7|><|8|>").size() == 6);  // the second is special, and here text
  });
  MESSAGE("a million added tokens in ", seconds, " s");
  CHECK(seconds < 60);
}

TEST_CASE("added tokens: more than 32 MiB of names are refused") {
  RawVocabulary vocabulary;
  for (int i = 0; i < 3; ++i) {
    vocabulary.tokens.push_back(std::string(size_t(11) << 20, char('a' + i)));
    vocabulary.types.push_back(3);
  }
  const Loaded loaded(vocabulary.file());
  CHECK(loaded.status == PITH_E_LIMIT);
  CHECK(std::string(loaded.error.message).find("tokenizer.ggml.tokens") != std::string::npos);
}
