// Softmax over tokens that come tile by tile (Milakov and Gimelshein, arXiv 1805.02867). For every head
//
//   max = the largest score so far     sum = sum_t e^(score_t - max)     out = sum_t e^(score_t - max) value_t
//
// and a tile with a larger score m' first shrinks sum and out by e^(max - m'). Two such states of disjoint tokens join
// by the same rule, each shrunk to the larger of the two maxima. At the end out / sum is the head's output. Scores of
// -inf never occur: every query sees a token; what a query does not see has a score so low that its weight is exactly
// 0.
//
// Rounding depends on the order of tiles and of joins, never on who computes them: splits are fixed by the context, and
// merged by number.
#ifndef PITH_ATTENTION_RUNNING_SOFTMAX_H
#define PITH_ATTENTION_RUNNING_SOFTMAX_H

#include <cstdint>

#include "ground/arena.h"
#include "attention/head_rows.h"
#include "kernels.h"

namespace pith::internal {

struct RunningSoftmax {
  float* max;     // [lanes]
  float* sum;     // [lanes]
  float* out;     // [n_heads, width]; NULL: sums and maxima alone
  float* factor;  // [3, lanes] scratch
  int32_t n_heads, lanes, width;

  void reset();
  void reset_sum();  // all but out

  // Turns the scores x [n, lanes] of a block into weights in place, and makes max, sum and out ready for it: the caller
  // adds the block's values, times these weights, to out.
  void weigh(const Kernels& kernels, int32_t n, float* x);

  // Takes in what another softmax of the same queries found in tokens of its own, and uses it up. A head's first
  // value_width channels count. The order of such calls is part of the result.
  void add(const Kernels& kernels, const RunningSoftmax& part, int32_t value_width);
  // That without the values, which the caller adds: out[h] = weight()[h] part.out[h] + keep()[h] out[h].
  void add_sum(const Kernels& kernels, const RunningSoftmax& part);
  // The same of a tile with scores x [n, lanes], which become weights against the tile's own maximum. tile: its maxima
  // and sums, of as many lanes.
  void add_tile(const Kernels& kernels, RunningSoftmax tile, int32_t n, float* x);
  const float* keep() const { return factor; }
  const float* weight() const { return factor + lanes; }

  // Divides by the sums: out holds the heads' outputs.
  void finish(const Kernels& kernels, int32_t value_width);
};

// The softmax of one query over disjoint runs of tokens, side by side.
class SoftmaxSplits {
 public:
  // width: numbers of a head's values, padded.
  void lay_out(const Setup& setup, int32_t max_splits, int32_t width, Arena* arena);

  // The softmax of split `split`, computed by one thread; starts empty.
  RunningSoftmax begin(int32_t split, int32_t thread) const;

  // The heads' outputs [n_heads, value_width] of all splits together, added in order. Uses them up.
  void merge(const Kernels& kernels, int32_t n_splits, int32_t value_width, float* out) const;

  // The same all at once instead of split by split, for threads to share: what every split counts for; then, of one
  // head, the sum of all by that, out [value_width].
  void weigh(const Kernels& kernels, int32_t n_splits) const;
  void merge_head(const Kernels& kernels, int32_t n_splits, int32_t head, int32_t value_width, float* out) const;

 private:
  RunningSoftmax split(int32_t split, float* factor) const;

  float* max_ = nullptr;     // [max_splits, lanes]
  float* sum_ = nullptr;     // [max_splits, lanes]
  float* out_ = nullptr;     // [max_splits, n_heads, width]
  float* total_ = nullptr;   // [5, lanes] scratch
  float* factor_ = nullptr;  // [max_threads, 3, lanes] scratch
  int32_t n_heads_ = 0, lanes_ = 0, width_ = 0;
};

}  // namespace pith::internal

#endif
