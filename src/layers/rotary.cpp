#include "layers/rotary.h"

namespace pith::internal {

void AngleTable::lay_out(const Setup& setup, Arena* arena) {
  kernels_ = setup.plan.kernels;
  team_ = &setup.team;
  turns_per_position_ = setup.weights.rope_turns;
  last_pinned_ = uint64_t(setup.plan.capacity) - 1;
  n_pairs_ = setup.config.rope_width / 2;
  is_interleaved_ = setup.config.rope_interleaved;
  turns_ = arena->take<float>(size_t(setup.plan.chunk) * size_t(stride()));
}

void AngleTable::set(const Chunk& chunk) {
  constexpr int32_t kTokens = 64;  // of a task
  team_->run(quotient_up(chunk.n, kTokens), [&](int32_t task, int32_t) {
    for (int32_t i = task * kTokens; i < std::min(chunk.n, (task + 1) * kTokens); ++i) {
      const uint64_t position = chunk.position + uint64_t(i), pinned = std::min(position, last_pinned_);
      float* turn = turns_ + i * stride();
      kernels_->rope_angles(turns_per_position_, position, n_pairs_, turn, turn + n_pairs_);
      kernels_->rope_angles(turns_per_position_, pinned, n_pairs_, turn + 2 * n_pairs_, turn + 3 * n_pairs_);
    }
  });
}

}  // namespace pith::internal
