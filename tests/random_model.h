// Models of random weights on their way through the packer, and how far the runtime's logits are from an oracle's.
#ifndef PITH_TESTS_RANDOM_MODEL_H
#define PITH_TESTS_RANDOM_MODEL_H

#include <utility>
#include <vector>

#include "agreement.h"
#include "pack.h"
#include "runtime.h"
#include "synth.h"
#include "variants.h"

namespace pith::test {

using namespace internal;
using namespace quantize;

// The float model of a spec, with the weights of a seed.
struct RandomModel {
  RandomModel(SynthSpec with, uint64_t seed) : spec(std::move(with)) {
    spec.seed = seed;
    floats = synth_float(spec);
  }
  Bytes packed(const char* type) const {
    const Block aligned = block_of(floats.data(), floats.size());
    return pack_model(aligned.get(), floats.size(), pack_options(type));
  }
  std::vector<int32_t> random_ids(size_t n) const { return random_tokens(n, spec.config.vocab_size, spec.seed); }
  SynthSpec spec;
  Bytes floats;
};

// Whether no choice of experts that the oracle has made hangs on float32's rounding.
inline bool is_sure(const ReferenceModel& oracle) {
  constexpr double kMargin = 2e-5;  // of scores, within 0 .. 1; as large as the promise of float32
  return oracle.least_margin() > kMargin;
}

// The same, and tokens for it. Of models with experts, the first seed from the given one on with which no choice of them hangs
// on float32's rounding.
struct Case : RandomModel {
  Case(SynthSpec with, uint64_t seed, size_t n_tokens)
      : RandomModel(std::move(with), seed), tokens(random_ids(n_tokens)) {
    if (is_continuous(spec)) return;
    const ReferenceModel oracle(floats);
    (void)oracle.logits(tokens);
    if (!is_sure(oracle)) *this = Case(spec, seed + 1, n_tokens);
  }
  std::vector<int32_t> tokens;
};

// ||a - b|| / ||b||
inline double relative_error(const std::vector<float>& a, const Vector& b) {
  return (as_vector(a) - b).norm() / b.norm();
}

// The largest over the tokens.
inline double worst_error(const std::vector<std::vector<float>>& a, const Matrix& b) {
  double worst = 0;
  for (size_t t = 0; t < a.size(); ++t)
    worst = std::max(worst, relative_error(a[t], Vector(b.row(int64_t(t)).transpose())));
  return worst;
}

}  // namespace pith::test

#endif
