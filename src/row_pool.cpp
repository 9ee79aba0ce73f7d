#include "row_pool.h"

#include <cstring>

namespace pith {
namespace {

constexpr size_t rounded_up(size_t bytes) { return (bytes + 63) / 64 * 64; }

// The default: rows for 3 of 8 slots. With it, cache and pool take half of what int8 keys and values of MHA take in the paper's shape.
constexpr int64_t kDefaultRows = 3, kDefaultSlots = 8;

// A head's numbers, padded with zeros; returns the scale.
float store_numbers(const Kernels& k, bool is_i8, const float* x, int32_t width, int32_t padded, uint8_t* out) {
  if (is_i8) {
    int8_t* q = reinterpret_cast<int8_t*>(out);
    for (int32_t i = width; i < padded; ++i) q[i] = 0;
    return k.quantize_row(x, width, q);
  }
  float* numbers = reinterpret_cast<float*>(out);
  for (int32_t i = 0; i < padded; ++i) numbers[i] = i < width ? x[i] : 0;
  return 1;
}

void load_numbers(const Kernels& k, bool is_i8, const uint8_t* in, float scale, int32_t width, float* x) {
  if (is_i8) return k.dequantize_row(reinterpret_cast<const int8_t*>(in), scale, width, x);
  for (int32_t i = 0; i < width; ++i) x[i] = reinterpret_cast<const float*>(in)[i];
}

}  // namespace

RowShape row_shape(const Config& c, bool is_i8) {
  RowShape shape{};
  shape.is_i8 = is_i8;
  shape.n_heads = c.n_heads;
  shape.content_width = c.content_width;
  shape.value_width = c.value_width;
  shape.padded_content = int32_t(padded_cols(c.content_width));
  shape.padded_value = int32_t(padded_cols(c.value_width));
  shape.latent_width = c.latent_width;
  shape.n_means = c.gate != Gate::up                          ? 0
                  : c.gate_norm == GateNorm::layer            ? 1
                  : c.gate_norm == GateNorm::layer_split      ? 2
                                                              : 0;
  shape.first_bytes = rounded_up(shape.mean_scales_at() + (is_i8 ? size_t(shape.n_means) * 4 : 0));
  shape.second_bytes = rounded_up(shape.second_scales_at() + (is_i8 ? size_t(shape.n_heads) * 4 : 0));
  return shape;
}

int32_t pool_rows(const Config& c, const Plan& plan) {
  if (c.gate != Gate::up) return 0;
  const uint64_t row = uint64_t(row_shape(c, plan.cache_i8).bytes()) * uint64_t(c.n_layers);
  const uint64_t rows = plan.pool_bytes == PITH_POOL_DEFAULT
                            ? uint64_t((int64_t(plan.capacity) * kDefaultRows + kDefaultSlots - 1) / kDefaultSlots)
                            : plan.pool_bytes / row;
  return rows < uint64_t(plan.capacity) ? int32_t(rows) : plan.capacity;
}

uint64_t pool_bytes(const Config& c, const Plan& plan) {
  return uint64_t(pool_rows(c, plan)) * uint64_t(row_shape(c, plan.cache_i8).bytes()) * uint64_t(c.n_layers);
}

void store_row(const Kernels& k, const RowShape& s, const float* x, Row row) {
  float* first_scales = reinterpret_cast<float*>(row.first + s.first_scales_at());
  float* second_scales = reinterpret_cast<float*>(row.second + s.second_scales_at());
  for (int32_t h = 0; h < s.n_heads; ++h, x += s.content_width + s.value_width) {
    const size_t content_at = size_t(h) * size_t(s.padded_content) * s.number_bytes();
    const size_t value_at = size_t(h) * size_t(s.padded_value) * s.number_bytes();
    const float content = store_numbers(k, s.is_i8, x, s.content_width, s.padded_content, row.first + content_at);
    const float value =
        store_numbers(k, s.is_i8, x + s.content_width, s.value_width, s.padded_value, row.second + value_at);
    if (!s.is_i8) continue;
    first_scales[h] = content;
    second_scales[h] = value;
  }
}

void load_row(const Kernels& k, const RowShape& s, Row row, float* x) {
  const float* first_scales = reinterpret_cast<const float*>(row.first + s.first_scales_at());
  const float* second_scales = reinterpret_cast<const float*>(row.second + s.second_scales_at());
  for (int32_t h = 0; h < s.n_heads; ++h, x += s.content_width + s.value_width) {
    const size_t content_at = size_t(h) * size_t(s.padded_content) * s.number_bytes();
    const size_t value_at = size_t(h) * size_t(s.padded_value) * s.number_bytes();
    load_numbers(k, s.is_i8, row.first + content_at, s.is_i8 ? first_scales[h] : 1, s.content_width, x);
    load_numbers(k, s.is_i8, row.second + value_at, s.is_i8 ? second_scales[h] : 1, s.value_width, x + s.content_width);
  }
}

void store_mean(const Kernels& k, const RowShape& s, int32_t i, const float* mean, Row row) {
  uint8_t* out = row.first + s.means_at() + size_t(i) * size_t(s.latent_width) * s.number_bytes();
  const float scale = store_numbers(k, s.is_i8, mean, s.latent_width, s.latent_width, out);
  if (s.is_i8) reinterpret_cast<float*>(row.first + s.mean_scales_at())[i] = scale;
}

void gather_scales(const uint8_t* first, size_t stride, size_t scales_at, const int32_t* index, int32_t n,
                   int32_t n_heads, int32_t lanes, float* scales) {
  for (int32_t i = 0; i < n; ++i) {
    const float* in = reinterpret_cast<const float*>(first + stride * size_t(index[i]) + scales_at);
    for (int32_t h = 0; h < n_heads; ++h) scales[i * lanes + h] = in[h];
  }
}

void RowPool::lay_out(const RowShape& shape, int32_t n_layers, int32_t n_rows, Arena* arena) {
  shape_ = shape;
  n_layers_ = n_layers;
  n_rows_ = n_rows;
  const size_t rows = size_t(n_layers) * size_t(n_rows);
  first_ = arena->take<uint8_t>(rows * shape.first_bytes);
  second_ = arena->take<uint8_t>(rows * shape.second_bytes);
}

void RowPool::copy_from(const RowPool& other) {
  const size_t rows = size_t(n_layers_) * size_t(n_rows_);
  std::memcpy(first_, other.first_, rows * shape_.first_bytes);
  std::memcpy(second_, other.second_, rows * shape_.second_bytes);
}

}  // namespace pith
