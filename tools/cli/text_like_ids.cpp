#include "text_like_ids.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace pith::cli {
namespace {

constexpr size_t kRanks = 50304, kFirstOctave = 1, kOctaves = 16;

// Cumulative weights of the ranks. IEEE 754 rounds square root, product and quotient alike everywhere, unlike pow. [kRanks]
std::vector<uint64_t> cumulative_weights() {
  std::vector<uint64_t> sums(kRanks);
  uint64_t sum = 0;
  for (size_t k = 0; k < kRanks; ++k) {
    const double x = double(k) + 2.5;
    sum += uint64_t(0x1p40 / (x * std::sqrt(std::sqrt(std::sqrt(x)))));
    sums[k] = sum;
  }
  return sums;
}

}  // namespace

std::vector<int32_t> text_like_ids(size_t n, int32_t vocab_size, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t bound) { return random() % bound; };  // bounds below 2^43: a bias below 2^-21
  const auto index_below = [&](size_t bound) { return size_t(below(bound)); };
  const size_t vocab = size_t(vocab_size);
  std::vector<int32_t> id_of_rank(vocab);
  std::iota(id_of_rank.begin(), id_of_rank.end(), 0);
  for (size_t i = vocab; i > 1; --i) std::swap(id_of_rank[i - 1], id_of_rank[index_below(i)]);
  const std::vector<uint64_t> sums = cumulative_weights();
  std::vector<int32_t> ids;
  ids.reserve(n);
  while (ids.size() < n) {
    size_t lag = 0;
    if (below(2) == 0) {
      const size_t octave = size_t(1) << (kFirstOctave + index_below(kOctaves));
      lag = octave + index_below(octave);
    }
    if (lag > 0 && lag <= ids.size()) {
      ids.push_back(ids[ids.size() - lag]);
      continue;
    }
    size_t rank = size_t(std::upper_bound(sums.begin(), sums.end(), below(sums.back())) - sums.begin());
    if (rank >= vocab) rank = index_below(1 + index_below(vocab));
    ids.push_back(id_of_rank[rank]);
  }
  return ids;
}

}  // namespace pith::cli
