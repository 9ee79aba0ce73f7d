// The library as the tests drive it: through pith.hpp, from packed bytes.
#ifndef PITH_TESTS_RUNTIME_H
#define PITH_TESTS_RUNTIME_H

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "pith/pith.hpp"
#include "raw_gguf.h"

namespace pith::test {

using namespace internal;

// A model and the bytes that it lies in.
struct Runtime {
  explicit Runtime(const Bytes& packed)
      : bytes(block_of(packed.data(), packed.size())), model(Model::view(bytes.get(), packed.size())) {}
  Block bytes;
  Model model;
};

inline pith_session_options exact_options() {
  pith_session_options options = session_options();
  options.cache = options.activations = PITH_PRECISION_F32;
  return options;
}

// [n_tokens, V]: the logits after every token, in a fresh session.
inline std::vector<std::vector<float>> all_logits(const Model& model, const std::vector<int32_t>& tokens,
                                                  const pith_session_options& options) {
  Session session(model, options);
  std::vector<std::vector<float>> out;
  for (const int32_t token : tokens) {
    session.eval(token);
    out.emplace_back(session.logits().begin(), session.logits().end());
  }
  return out;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// n ids of which about half repeat an earlier one, as in text.
inline std::vector<int32_t> random_tokens(size_t n, int32_t vocab_size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int32_t> out;
  while (out.size() < n) {
    const bool repeats = !out.empty() && random() % 2 == 0;
    out.push_back(repeats ? out[random() % out.size()] : int32_t(random() % uint64_t(vocab_size)));
  }
  return out;
}

}  // namespace pith::test

#endif
