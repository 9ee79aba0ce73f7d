#include "running_softmax.h"

namespace pith {

void RunningSoftmax::reset() {
  for (int32_t h = 0; h < lanes; ++h) {
    max[h] = -__builtin_inff();
    sum[h] = 0;
  }
  for (int32_t i = 0; i < n_heads * width; ++i) out[i] = 0;
}

void RunningSoftmax::weigh(const Kernels& k, int32_t n, float* x) {
  float *shrink = factor, *unused = factor + lanes;
  for (int32_t h = 0; h < lanes; ++h) {
    shrink[h] = max[h];
    unused[h] = 0;
  }
  k.max_rows(x, n, lanes, max);
  k.exp_rows(shrink, max, 1, lanes, unused);
  k.multiply(sum, shrink, lanes, sum);
  for (int32_t h = 0; h < n_heads; ++h) {
    if (shrink[h] != 1) k.shift_scale(out + h * width, 0, shrink[h], width, out + h * width);
  }
  k.exp_rows(x, max, n, lanes, sum);
}

void SoftmaxPieces::lay_out(int32_t max_pieces, int32_t max_threads, int32_t heads, int32_t value_width, Arena* arena) {
  n_heads = heads;
  lanes = padded_lanes(heads);
  width = value_width;
  const size_t pieces = size_t(max_pieces);
  max = arena->take<float>(pieces * size_t(lanes));
  sum = arena->take<float>(pieces * size_t(lanes));
  out = arena->take<float>(pieces * size_t(n_heads) * size_t(width));
  total = arena->take<float>(size_t(lanes) * 2);
  factor = arena->take<float>(size_t(max_threads) * 2 * size_t(lanes));
}

RunningSoftmax SoftmaxPieces::begin(int32_t piece, int32_t thread) const {
  const size_t p = size_t(piece);
  RunningSoftmax running{max + p * size_t(lanes),
                         sum + p * size_t(lanes),
                         out + p * size_t(n_heads) * size_t(width),
                         factor + size_t(thread) * 2 * size_t(lanes),
                         n_heads,
                         lanes,
                         width};
  running.reset();
  return running;
}

RunningSoftmax SoftmaxPieces::begin_heads(int32_t piece, int32_t n, int32_t thread) const {
  RunningSoftmax running = begin(piece, thread);
  running.n_heads = n;
  running.lanes = padded_lanes(n);
  return running;
}

void SoftmaxPieces::merge(const Kernels& k, int32_t n_pieces, int32_t value_width, float* merged) const {
  float *largest = total, *sums = total + lanes;
  for (int32_t h = 0; h < lanes; ++h) {
    largest[h] = max[h];
    sums[h] = 0;
  }
  k.max_rows(max, n_pieces, lanes, largest);
  k.exp_rows(max, largest, n_pieces, lanes, sums);  // max: what each piece counts, from here on
  for (int32_t h = 0; h < lanes; ++h) sums[h] = 0;
  for (int32_t p = 0; p < n_pieces; ++p) {
    for (int32_t h = 0; h < n_heads; ++h) sums[h] = __builtin_fmaf(max[p * lanes + h], sum[p * lanes + h], sums[h]);
  }
  for (int32_t h = 0; h < n_heads; ++h, merged += value_width) {
    for (int32_t j = 0; j < value_width; ++j) merged[j] = 0;
    for (int32_t p = 0; p < n_pieces; ++p)
      k.axpy(max[p * lanes + h], out + (size_t(p) * size_t(n_heads) + size_t(h)) * size_t(width), value_width, merged);
    k.shift_scale(merged, 0, 1.0f / sums[h], value_width, merged);
  }
}

}  // namespace pith
