#include "layers/rotary.h"

namespace pith::internal {

void Angles::lay_out(const Config& config, Arena* arena) {
  n_ = config.rope_width / 2;
  turn_ = arena->take<float>(4 * size_t(n_));
}

void Angles::set(const Kernels& k, const Plan& plan, const Weights& weights, uint64_t position) {
  const uint64_t last = uint64_t(plan.capacity) - 1, pinned = position < last ? position : last;
  k.rope_angles(weights.rope_turns, position, n_, turn_, turn_ + n_);
  k.rope_angles(weights.rope_turns, pinned, n_, turn_ + 2 * n_, turn_ + 3 * n_);
}

void Angles::rotate(const Kernels& k, const Config& config, bool is_pinned, float* x) const {
  const float* cosine = turn_ + (is_pinned ? 2 * n_ : 0);
  (config.rope_interleaved ? k.rope_pairs : k.rope_halves)(cosine, cosine + n_, n_, x);
}

}  // namespace pith::internal
