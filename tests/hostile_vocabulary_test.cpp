// Vocabularies that were made to cost time: entries of one place in a hash table, merges that go round in a circle, and texts
// that merge as late as they can. Times that are not quadratic, with room for sanitizers and emulators.
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "text/byte_hash.h"
#include "vocabulary.h"

using namespace pith::test;

namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Slots of a table that is to be at most half full.
uint32_t mask_for(size_t n) {
  uint32_t size = 16;
  while (size < 2 * n) size *= 2;
  return size - 1;
}

std::string letters(std::mt19937_64* random, size_t n) {
  std::string out(n, ' ');
  for (char& c : out) c = char('a' + (*random)() % 26);
  return out;
}

// n words that a table with this mask puts in the same place.
std::vector<std::string> colliding_words(size_t n, uint32_t mask, std::mt19937_64* random) {
  std::vector<std::string> out;
  while (out.size() < n) {
    const std::string word = letters(random, 8);
    if ((uint32_t(mix(ByteHash::of(word))) & mask) == 7) out.push_back(word);
  }
  return out;
}

uint32_t merge_place(int32_t left, int32_t right) {
  return uint32_t(mix(uint64_t(uint32_t(left)) << 32 | uint32_t(right)));
}

// Merges of n pairs of words, each to a token; all of one place, or wherever they belong.
enum class Places : uint8_t { one, any };
RawVocabulary with_merges(size_t n, Places places, std::mt19937_64* random) {
  RawVocabulary out;
  const int32_t first = int32_t(out.tokens.size()), n_words = 2000;
  for (int32_t i = 0; i < n_words; ++i) out.tokens.push_back(letters(random, 6));
  const uint32_t mask = mask_for(n);
  while (out.merges.size() < n) {
    const int32_t left = first + int32_t((*random)() % n_words), right = first + int32_t((*random)() % n_words);
    if (places == Places::one && (merge_place(left, right) & mask) != 5) continue;
    out.merges.push_back(out.tokens[size_t(left)] + " " + out.tokens[size_t(right)]);
    out.tokens.push_back(out.tokens[size_t(left)] + out.tokens[size_t(right)]);
  }
  out.types.resize(out.tokens.size(), 1);
  return out;
}

}  // namespace

TEST_CASE("hostile vocabulary: tokens that collide in the hash table are refused, not read in quadratic time") {
  const uint64_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const uint32_t mask = mask_for(257 + 600);
  const Loaded refused(RawVocabulary(colliding_words(600, mask, &random)).file());
  CHECK(refused.status == PITH_E_LIMIT);
  CHECK(std::string(refused.error.message).find("tokenizer.ggml.tokens: token ") != std::string::npos);
  // As many that do not, and some in one place: others lengthen the run, so that far fewer than there may be are sure.
  std::vector<std::string> words;
  for (int i = 0; i < 600; ++i) words.push_back(letters(&random, 8));
  const Loaded control(RawVocabulary(words).file());
  CHECK(control.status == PITH_OK);
  std::vector<std::string> some = colliding_words(60, mask, &random);
  while (some.size() < 600) some.push_back(letters(&random, 9));
  const Loaded loaded(RawVocabulary(some).file());
  REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
  for (size_t i = 0; i < some.size(); ++i) {
    const int32_t id = loaded.tokenizer->token_id(some[i]);
    CHECK((id == int32_t(257 + i) || some[size_t(id - 257)] == some[i]));  // of equal ones the first
  }
  CHECK(loaded.tokenizer->token_id("abc") == -1);
}

#ifdef __SIZEOF_INT128__
TEST_CASE("products modulo 2^61 - 1 are those of 128 bits, also where there are none") {
  const uint64_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const uint64_t p = ByteHash::kPrime,
                 edges[] = {0, 1, 2, (1u << 30) - 1, 1u << 30, 1u << 31, (p + 1) / 2, p - 2, p - 1};
  const auto check = [p](uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const uint64_t product = uint64_t(Wide(a) * b % p);
    CHECK(ByteHash::times(a, b) == product);
    CHECK(ByteHash::times_by_halves(a, b) == product);
  };
  for (const uint64_t a : edges) {
    for (const uint64_t b : edges) check(a, b);
  }
  for (int i = 0; i < 10000; ++i) check(random() % p, random() % p);
}
#endif

TEST_CASE("hostile vocabulary: merges that collide in the hash table are refused, not looked through for every pair") {
  const uint64_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  const Loaded refused(with_merges(400, Places::one, &random).file());
  CHECK(refused.status == PITH_E_LIMIT);
  CHECK(std::string(refused.error.message).find("tokenizer.ggml.merges: merge ") != std::string::npos);
  const Loaded control(with_merges(400, Places::any, &random).file());
  CHECK_MESSAGE(control.status == PITH_OK, control.error.message);
  const Loaded some(with_merges(150, Places::one, &random).file());
  CHECK_MESSAGE(some.status == PITH_OK, some.error.message);
}

TEST_CASE("hostile vocabulary: a random one of half a million tokens is far from the limit of a hash table") {
  const uint64_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937_64 random(seed);
  std::vector<std::string> words;
  for (int i = 0; i < 1 << 19; ++i) words.push_back(letters(&random, 7));  // with the bytes: a table just half full
  words.resize((1u << 19) - 257);
  const RawGguf file = RawVocabulary(words).file();
  const double seconds = seconds_of([&] {
    const Loaded loaded(file);
    REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
    CHECK(loaded.tokenizer->token_id(words.back()) >= 257);
  });
  MESSAGE("2^19 tokens in ", seconds, " s");
  CHECK(seconds < 30);
}

// Every token is made of the ones before it and leads to them again; all ways to the same bytes are there, twice.
TEST_CASE("hostile vocabulary: merges that go round in a circle end, in a time that is not quadratic") {
  std::vector<std::string> words, merges;
  const auto add = [&](const std::string& left, const std::string& right) {
    words.push_back(left + right);
    words.push_back(left + right);
    merges.push_back(left + " " + right);
    merges.push_back(left + " " + right);
  };
  // The longest ones first, so that a merge makes better ones possible again and again.
  for (int n = 12; n >= 1; --n) {
    const std::string a(size_t(n), 'a'), b(size_t(n), 'b');
    add(a, "a");
    add("a", a);
    add(b, a);
    add(a, b);
    add(a + b, a);
    add(b, a + b);
  }
  merges.push_back("ab ab");  // to what is no token
  const Loaded loaded(RawVocabulary(words, merges).file());
  REQUIRE_MESSAGE(loaded.status == PITH_OK, loaded.error.message);
  const double seconds = seconds_of([&] {
    for (const std::string unit : {"a", "ab", "aab", "abba", "aaaaaaaaaaaab"}) {
      std::string text, back;
      while (text.size() < 1u << 18) text += unit;
      const Ids ids = loaded.encode(text);
      for (const int32_t id : ids) back += loaded.tokenizer->decode(id);
      CHECK((back == text));
      CHECK(ids.size() < text.size());
    }
  });
  MESSAGE("1.25 MiB in ", seconds, " s");
  CHECK(seconds < 30);
}
