#include "attention/head_rows.h"

#include <algorithm>

namespace pith::internal {
namespace {

GatheredRows gathered(const HeadRows& rows) {
  return {reinterpret_cast<const int8_t*>(rows.data), rows.stride, rows.index};
}

// What a KV head is in row i, as floats without their scale; int8 is widened into `buffer` [width].
const float* numbers_of(const Kernels& k, const HeadRows& rows, int32_t i, int32_t kv_head, float* buffer) {
  const uint8_t* row = rows.data + rows.stride * size_t(rows.index[i]);
  const int32_t at = kv_head * rows.kv_stride;
  if (rows.precision == Precision::f32) return reinterpret_cast<const float*>(row) + at;
  k.dequantize_row(reinterpret_cast<const int8_t*>(row) + at, 1, rows.width, buffer);
  return buffer;
}

// f(row, head, numbers) for all rows and heads.
template <typename F>
void for_each_head(const Kernels& k, const HeadRows& rows, int32_t n_heads, float* buffer, const F& f) {
  for (int32_t i = 0; i < rows.n; ++i) {
    const float* numbers = nullptr;
    for (int32_t h = 0; h < n_heads; ++h) {
      if (h % rows.heads_per_kv == 0) numbers = numbers_of(k, rows, i, h / rows.heads_per_kv, buffer);
      f(i, h, numbers);
    }
  }
}

}  // namespace

void HeadScratch::lay_out(int32_t max_rows, int32_t lanes, int32_t max_width, Arena* arena) {
  dots = arena->take_zeros<int32_t>(size_t(max_rows) * size_t(lanes));
  weights = arena->take_zeros<float>(size_t(max_rows) * size_t(lanes));
  numbers = arena->take<float>(size_t(padded_cols(max_width)));
  const size_t quads = size_t(max_rows + 3) / 4 * kQuadBytes;
  p = arena->take<uint8_t>(quads * size_t(lanes));
  steps = arena->take<float>(size_t(lanes));
  values = arena->take<uint8_t>(quads * size_t(padded_cols(max_width)));
}

void prefetch_first_heads(const HeadRows& rows) {
  const size_t bytes = size_t(rows.width) * number_bytes(rows.precision);
  for (int32_t i = 0; i < rows.n; ++i) prefetch(rows.data + rows.stride * size_t(rows.index[i]), bytes);
}

void add_scores(const Kernels& k, const HeadQuery& query, const HeadRows& rows, int32_t n_heads,
                const HeadScratch& scratch, float* x) {
  const int32_t n = rows.n, lanes = padded_lanes(n_heads);
  if (query.q != nullptr && rows.precision == Precision::i8) {
    const int32_t width = rows.heads_per_kv >= n_heads ? int32_t(padded_cols(rows.width)) : rows.kv_stride;
    k.head_dots_i8(query.q, n_heads, rows.heads_per_kv, width, gathered(rows), n, scratch.dots, size_t(lanes));
    if (rows.scales != nullptr) k.add_head_scores(scratch.dots, query.d, rows.scales, n, lanes, x);
    else k.add_scores(scratch.dots, query.d, rows.row_scales, n, lanes, x);
    return;
  }
  for_each_head(k, rows, n_heads, scratch.numbers, [&](int32_t i, int32_t h, const float* numbers) {
    const float scale = rows.scales != nullptr       ? rows.scales[i * lanes + h]
                        : rows.row_scales != nullptr ? rows.row_scales[i]
                                                     : 1.0f;
    const float dot = k.dot(query.x + h * query.stride, numbers, rows.width);
    x[i * lanes + h] = __builtin_fmaf(dot, scale, x[i * lanes + h]);
  });
}

void blend_rounded_sums(const Kernels& k, const float* weights, const HeadRows& rows, int32_t n_heads,
                        const HeadScratch& scratch, const float* keep, const float* weight, float* out,
                        int32_t out_stride) {
  const int32_t n = rows.n, lanes = padded_lanes(n_heads), width = (rows.width + 15) / 16 * 16;
  if (rows.scales != nullptr) {
    k.multiply(weights, rows.scales, n * lanes, scratch.weights);
    weights = scratch.weights;
  }
  k.round_weights(weights, rows.row_scales, 1, n, lanes, scratch.p, scratch.steps);
  GatheredRows values = gathered(rows);
  for (int32_t h = 0; h < n_heads; h += rows.heads_per_kv, values.first += rows.kv_stride) {
    const int32_t n_sharing = std::min(rows.heads_per_kv, n_heads - h);
    k.interleave_rows(values, n, scratch.values, width);
    k.blend_quad_sums({scratch.p + 4 * h, scratch.steps + h, lanes}, n_sharing, scratch.values, width, n, keep + h,
                      weight + h, out + h * out_stride, size_t(out_stride));
  }
}

void add_sums(const Kernels& k, const float* weights, const HeadRows& rows, int32_t n_heads, const HeadScratch& scratch,
              float* out, int32_t out_stride) {
  const int32_t n = rows.n, lanes = padded_lanes(n_heads);
  if (rows.scales != nullptr) {
    k.multiply(weights, rows.scales, n * lanes, scratch.weights);
    weights = scratch.weights;
  } else if (rows.row_scales != nullptr) {
    k.scale_rows(weights, rows.row_scales, n, lanes, scratch.weights);
    weights = scratch.weights;
  }
  if (rows.precision == Precision::i8) {
    const int32_t width = rows.heads_per_kv >= n_heads ? (rows.width + 15) / 16 * 16 : rows.kv_stride;
    k.head_sums_i8(weights, size_t(lanes), n_heads, rows.heads_per_kv, width, gathered(rows), n, out,
                   size_t(out_stride));
    return;
  }
  for_each_head(k, rows, n_heads, scratch.numbers, [&](int32_t i, int32_t h, const float* numbers) {
    k.axpy(weights[i * lanes + h], numbers, rows.width, out + h * out_stride);
  });
}

}  // namespace pith::internal
