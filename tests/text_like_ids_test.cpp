// The ids that fill a context for measurements, against those of real text: how many are distinct, how many of them occur
// once, and how many of the tokens the 64 most frequent cover.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "text_like_ids.h"

using pith::cli::text_like_ids;

namespace {

using Ids = std::vector<int32_t>;
using Source = std::function<Ids(size_t n, int32_t vocab_size, uint64_t seed)>;

// WikiText-2 in GPT-NeoX's vocabulary of 50k, means of 5 to 12 windows.
struct Row {
  size_t tokens;
  double distinct, lowest, highest;  // mean, and the range over the windows; 0: not known
  double once;                       // share of the distinct ids
  double cover;                      // percent of the tokens; 0: not known
  double distinct_16k, distinct_8k;  // with fewer merges; 0: not known
};
const Row kText[] = {{256, 145, 122, 162, .73, 71, 147, 144},      {512, 244, 0, 0, .68, 0, 0, 0},
                     {1024, 402, 318, 497, .64, 59, 412, 405},     {2048, 702, 0, 0, .64, 0, 0, 0},
                     {4096, 1180, 923, 1368, .60, 50, 1165, 1094}, {8192, 2013, 0, 0, .57, 0, 0, 0},
                     {16384, 3254, 0, 0, .53, 47, 3022, 2556},     {32768, 5176, 4836, 5584, .48, 46, 4526, 3529}};
constexpr size_t kLongest = 32768;
constexpr int32_t kVocabulary = 50304;
constexpr uint64_t kSeeds = 12;

struct Counts {
  double distinct = 0, once = 0, cover = 0;
};

Counts count(const Ids& ids, size_t n) {
  std::vector<int> seen(size_t(*std::max_element(ids.begin(), ids.end())) + 1);
  for (size_t i = 0; i < n; ++i) ++seen[size_t(ids[i])];
  std::erase(seen, 0);
  std::sort(seen.begin(), seen.end(), std::greater<>());
  Counts c;
  c.distinct = double(seen.size());
  c.once = double(std::count(seen.begin(), seen.end(), 1)) / c.distinct;
  for (size_t i = 0; i < std::min<size_t>(64, seen.size()); ++i) c.cover += 100.0 * seen[i] / double(n);
  return c;
}

// What a source has in common with text: the worst distances over all lengths of the means over the seeds. `outside` counts
// single texts whose distinct ids lie outside the range of the windows of real text.
struct Distance {
  double distinct = 0, once = 0, cover = 0;
  int outside = 0;
  bool is_text() const { return distinct <= .08 && once <= .06 && cover <= 6 && outside == 0; }
};

Distance distance_to_text(const Source& source) {
  std::vector<Ids> texts;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) texts.push_back(source(kLongest, kVocabulary, seed));
  Distance worst;
  for (const Row& row : kText) {
    Counts mean;
    for (const Ids& ids : texts) {
      const Counts c = count(ids, row.tokens);
      mean.distinct += c.distinct / kSeeds;
      mean.once += c.once / kSeeds;
      mean.cover += c.cover / kSeeds;
      worst.outside += row.lowest > 0 && (c.distinct < row.lowest || c.distinct > row.highest);
    }
    worst.distinct = std::max(worst.distinct, std::abs(mean.distinct / row.distinct - 1));
    worst.once = std::max(worst.once, std::abs(mean.once - row.once));
    if (row.cover > 0) worst.cover = std::max(worst.cover, std::abs(mean.cover - row.cover));
  }
  return worst;
}

double mean_distinct(size_t n, int32_t vocab_size) {
  double mean = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed)
    mean += count(text_like_ids(n, vocab_size, seed), n).distinct / double(kSeeds);
  return mean;
}

uint64_t hash(const Ids& ids) {
  uint64_t h = 0xcbf29ce484222325ull;
  for (const int32_t id : ids) h = (h ^ uint64_t(id)) * 0x100000001b3ull;
  return h;
}

}  // namespace

TEST_CASE("ids for measurements repeat as those of real text do") {
  const Distance d = distance_to_text(text_like_ids);
  CAPTURE(d.distinct);
  CAPTURE(d.once);
  CAPTURE(d.cover);
  CAPTURE(d.outside);
  CHECK(d.is_text());
}

TEST_CASE("ids that are not like text are told from it") {
  const Distance uniform = distance_to_text([](size_t n, int32_t vocab_size, uint64_t seed) {
    std::mt19937_64 random(seed);
    Ids ids(n);
    for (int32_t& id : ids) id = int32_t(random() % uint64_t(vocab_size));
    return ids;
  });
  CHECK(uniform.distinct > 0.08);
  CHECK(uniform.once > 0.06);
  CHECK(uniform.cover > 6);
  CHECK(uniform.outside > 0);
  const Distance one = distance_to_text([](size_t n, int32_t, uint64_t seed) { return Ids(n, int32_t(seed)); });
  CHECK(one.distinct > 0.08);
  CHECK(one.once > 0.06);
  CHECK(one.cover > 6);
  CHECK(one.outside > 0);
  // As many distinct ids as text has, each new one followed by the first again and again: nearly all occur once.
  const Distance padded = distance_to_text([](size_t n, int32_t, uint64_t) {
    Ids ids(n);
    int32_t next = 1;
    for (size_t t = 1; t < n; ++t)
      if (next < 2.44 * std::pow(double(t), 0.737)) ids[t] = next++;
    return ids;
  });
  CHECK(padded.distinct <= 0.08);
  CHECK(!padded.is_text());
}

TEST_CASE("ids for measurements fit smaller vocabularies") {
  for (const Row& row : kText) {
    if (row.distinct_8k == 0) continue;
    CAPTURE(row.tokens);
    CHECK(std::abs(mean_distinct(row.tokens, 16384) / row.distinct_16k - 1) < 0.08);
    CHECK(std::abs(mean_distinct(row.tokens, 8192) / row.distinct_8k - 1) < 0.1);
  }
  // The built-in model's 2,048 ids, counted by its tokenizer: fairy tales, which it knows, and WikiText-2, whose words it
  // spells in pieces.
  const struct {
    size_t tokens;
    double tales, wikitext;
  } builtin[] = {{256, 163, 126}, {1024, 431, 310}, {4096, 980, 633}, {16384, 1561, 1073}, {32768, 1734, 1276}};
  for (const auto& [tokens, tales, wikitext] : builtin) {
    const size_t n_tokens = tokens;  // a binding of its own cannot be captured
    CAPTURE(n_tokens);
    const double distinct = mean_distinct(tokens, 2048);
    CHECK(distinct > wikitext);
    CHECK(distinct < 1.08 * tales);
  }
  for (const int32_t vocab_size : {1, 2, 3, 40, 50000, 128000}) {
    const Ids ids = text_like_ids(5000, vocab_size, 7);
    CHECK(*std::min_element(ids.begin(), ids.end()) >= 0);
    CHECK(*std::max_element(ids.begin(), ids.end()) < vocab_size);
    if (vocab_size <= 40) CHECK(count(ids, ids.size()).distinct == vocab_size);
  }
}

TEST_CASE("ids for measurements are the same on every machine, for every length") {
  const Ids ids = text_like_ids(kLongest, kVocabulary, 1);
  CHECK(hash(ids) == 17546576215697986642ull);
  CHECK(hash(text_like_ids(kLongest, 2048, 1)) == 14902508741626785915ull);
  CHECK(text_like_ids(300, kVocabulary, 1) == Ids(ids.begin(), ids.begin() + 300));
  CHECK(text_like_ids(300, kVocabulary, 2) != Ids(ids.begin(), ids.begin() + 300));
  CHECK(text_like_ids(0, kVocabulary, 1).empty());
}
