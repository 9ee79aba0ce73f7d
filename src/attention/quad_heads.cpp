#include "attention/quad_heads.h"

#include <cstring>

#include "layers/head_lanes.h"

namespace pith::internal {

void QuadHeads::lay_out(int32_t n_heads, int32_t n_blocks, int32_t block, Arena* arena) {
  n_blocks_ = n_blocks;
  block_ = int32_t(padded_cols(block));
  lanes_ = padded_lanes(n_heads);
  const size_t scales = size_t(n_blocks) * size_t(lanes_);
  q_ = arena->take_zeros<int8_t>(scales * size_t(block_));
  sums_ = arena->take_zeros<int32_t>(scales);
  d_ = arena->take_zeros<float>(scales);
}

void QuadHeads::set(int32_t head, int32_t block, const int8_t* q, float d) const {
  constexpr size_t kQuad = 4;
  const size_t at = size_t(block) * size_t(lanes_), lane = size_t(head), stride = kQuad * size_t(lanes_);
  int8_t* quads = q_ + at * size_t(block_) + kQuad * lane;
  int32_t sum = 0;
  for (int32_t j = 0; j < block_; j += int32_t(kQuad), quads += stride) {
    std::memcpy(quads, q + j, kQuad);
    for (size_t i = 0; i < kQuad; ++i) sum += q[size_t(j) + i];
  }
  sums_[at + lane] = sum;
  d_[at + lane] = d;
}

}  // namespace pith::internal
