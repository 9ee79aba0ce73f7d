// A query's heads in lanes, in the layout of kernels.add_quad_scores: for attention where many heads read the same
// rows.
#ifndef PITH_ATTENTION_QUAD_HEADS_H
#define PITH_ATTENTION_QUAD_HEADS_H

#include <cstdint>

#include "ground/arena.h"
#include "kernels.h"

namespace pith::internal {

class QuadHeads {
 public:
  // Heads of `n_blocks` blocks, each of up to `block` channels: rounded up to whole 32s, zero after what set() writes.
  void lay_out(int32_t n_heads, int32_t n_blocks, int32_t block, Arena* arena);

  // A block of a head: x ~= d q, q [block padded to 32]. Several threads at the same time, for heads of their own.
  void set(int32_t head, int32_t block, const int8_t* q, float d) const;

  QuadQuery query() const { return {q_, sums_, d_, n_blocks_, block_, lanes_}; }

 private:
  int32_t n_blocks_ = 0, block_ = 0, lanes_ = 0;
  int8_t* q_ = nullptr;      // [n_blocks][block / 4][lanes][4]
  int32_t* sums_ = nullptr;  // [n_blocks][lanes]
  float* d_ = nullptr;       // [n_blocks][lanes]
};

}  // namespace pith::internal

#endif
