#include "token_source.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace pith::cli {

std::vector<int32_t> text_like_tokens(size_t n, uint32_t vocab_size, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&](uint64_t bound) { return random() % bound; };  // the bias is below 2^-40
  std::vector<int32_t> fresh(vocab_size);
  std::iota(fresh.begin(), fresh.end(), 0);
  for (size_t i = fresh.size(); i > 1; --i) std::swap(fresh[i - 1], fresh[below(i)]);
  std::vector<int32_t> tokens;
  size_t n_distinct = 0;
  while (tokens.size() < n) {
    const double expected = 2.44 * std::pow(double(tokens.size() + 1), 0.737);
    const bool is_new = n_distinct < fresh.size() && double(n_distinct) < std::min(expected, double(tokens.size() + 1));
    tokens.push_back(is_new ? fresh[n_distinct] : tokens[below(tokens.size())]);
    n_distinct += is_new;
  }
  return tokens;
}

}  // namespace pith::cli
