// Softmax over tokens that come block by block: for every head the largest score so far, the sum of e^(score -
// largest), and the values summed by those weights. When a block has a larger score, what was summed before shrinks.
#ifndef PITH_RUNNING_SOFTMAX_H
#define PITH_RUNNING_SOFTMAX_H

#include <cstdint>

#include "arena.h"
#include "head_rows.h"
#include "kernels.h"

namespace pith {

struct RunningSoftmax {
  float* max;     // [lanes]
  float* sum;     // [lanes]
  float* out;     // [n_heads, width]
  float* factor;  // [2, lanes] scratch
  int32_t n_heads, lanes, width;

  void reset();

  // Turns the scores x [n, lanes] of a block into weights in place, and makes max, sum and out ready for it: the caller
  // adds the block's values, times these weights, to out.
  void weigh(const Kernels& kernels, int32_t n, float* x);
};

// The softmax of one query over disjoint runs of tokens, side by side.
struct SoftmaxPieces {
  float* max = nullptr;     // [max_pieces, lanes]
  float* sum = nullptr;     // [max_pieces, lanes]
  float* out = nullptr;     // [max_pieces, n_heads, width]
  float* total = nullptr;   // [2, lanes] scratch
  float* factor = nullptr;  // [max_threads, 2, lanes] scratch
  int32_t n_heads = 0, lanes = 0, width = 0;

  void lay_out(int32_t max_pieces, int32_t max_threads, int32_t n_heads, int32_t width, Arena* arena);

  // Piece `piece`, computed by one thread; starts empty.
  RunningSoftmax begin(int32_t piece, int32_t thread) const;

  // The same for n heads alone.
  RunningSoftmax begin_heads(int32_t piece, int32_t n, int32_t thread) const;

  // The heads' outputs [n_heads, value_width] of all pieces together, added in order. Uses the pieces up.
  void merge(const Kernels& kernels, int32_t n_pieces, int32_t value_width, float* out) const;
};

}  // namespace pith

#endif
