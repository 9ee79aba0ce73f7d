#include "cache/row_pool.h"

#include <cstring>

#include "cache/stored_integers.h"
#include "wide_scale.h"

namespace pith::internal {
namespace {

constexpr size_t kSlack = 64;  // bytes after the last scales, which are read for whole lanes

// The default: rows for 3 of 8 slots, and 64. A row for every id that a text of up to a thousand tokens holds, and
// beyond that half of the bytes that int8 keys and values of MHA take in the paper's shape
// (bench/results/attention.md).
constexpr int64_t kDefaultRows = 3, kDefaultSlots = 8, kDefaultMore = 64;

// A head's numbers, padded with zeros, and its scale, as which the numbers are rounded.
void store_numbers(const Kernels& k, Precision precision, const float* x, int32_t width, int32_t padded, uint8_t* out,
                   uint8_t* scale) {
  if (precision == Precision::f32) {
    float* numbers = reinterpret_cast<float*>(out);
    for (int32_t i = 0; i < padded; ++i) numbers[i] = i < width ? x[i] : 0;
    return;
  }
  int8_t* q = reinterpret_cast<int8_t*>(out);
  const uint16_t stored = store_integers(k, x, width, q);
  for (int32_t i = width; i < padded; ++i) q[i] = 0;
  std::memcpy(scale, &stored, sizeof stored);
}

void load_numbers(const Kernels& k, Precision precision, const uint8_t* in, const uint8_t* scale, int32_t width,
                  float* x) {
  if (precision == Precision::i8)
    return k.dequantize_row(reinterpret_cast<const int8_t*>(in), load_scale(scale, 0), width, x);
  for (int32_t i = 0; i < width; ++i) x[i] = reinterpret_cast<const float*>(in)[i];
}

}  // namespace

RowShape row_shape(const Config& c, Precision precision) {
  RowShape shape{};
  shape.precision = precision;
  shape.n_heads = c.n_heads;
  shape.content_width = c.content_width;
  shape.value_width = c.value_width;
  shape.padded_content = int32_t(padded_cols(c.content_width));
  shape.padded_value = int32_t(padded_cols(c.value_width));
  const size_t heads = size_t(c.n_heads);
  shape.key_bytes = heads * size_t(shape.padded_content) * number_bytes(precision);
  shape.value_bytes = heads * size_t(shape.padded_value) * number_bytes(precision);
  shape.scales_bytes = 2 * heads * shape.scale_bytes();
  return shape;
}

int32_t pool_rows(const Config& c, const Plan& plan) {
  if (c.gate != Gate::up) return 0;
  const uint64_t row = uint64_t(row_shape(c, plan.cache).bytes()) * uint64_t(c.n_layers);
  const uint64_t rows = plan.pool_bytes == kDefaultPool
                            ? uint64_t(int64_t(plan.capacity) * kDefaultRows / kDefaultSlots + kDefaultMore)
                            : plan.pool_bytes / row;
  return rows < uint64_t(plan.capacity) ? int32_t(rows) : plan.capacity;
}

uint64_t pool_bytes(const Config& c, const Plan& plan) {
  return uint64_t(pool_rows(c, plan)) * uint64_t(row_shape(c, plan.cache).bytes()) * uint64_t(c.n_layers);
}

void store_row(const Kernels& k, const RowShape& s, const float* x, Row row) {
  for (int32_t h = 0; h < s.n_heads; ++h, x += s.content_width + s.value_width) {
    const size_t content = size_t(h * s.padded_content) * number_bytes(s.precision);
    const size_t value = size_t(h * s.padded_value) * number_bytes(s.precision), scale = size_t(h) * s.scale_bytes();
    store_numbers(k, s.precision, x, s.content_width, s.padded_content, row.keys + content, row.scales + scale);
    store_numbers(k, s.precision, x + s.content_width, s.value_width, s.padded_value, row.values + value,
                  row.scales + s.value_scales_at() + scale);
  }
}

void load_row(const Kernels& k, const RowShape& s, Row row, float* x) {
  for (int32_t h = 0; h < s.n_heads; ++h, x += s.content_width + s.value_width) {
    const size_t content = size_t(h * s.padded_content) * number_bytes(s.precision);
    const size_t value = size_t(h * s.padded_value) * number_bytes(s.precision), scale = size_t(h) * s.scale_bytes();
    load_numbers(k, s.precision, row.keys + content, row.scales + scale, s.content_width, x);
    load_numbers(k, s.precision, row.values + value, row.scales + s.value_scales_at() + scale, s.value_width,
                 x + s.content_width);
  }
}

float load_scale(const uint8_t* scales, int32_t i) {
  uint16_t stored;
  std::memcpy(&stored, scales + 2 * i, sizeof stored);
  return scale_to_float(stored);
}

void gather_scales(const Kernels& k, const RowList& list, RowSide side, int32_t lanes, float* out) {
  const RowShape& shape = *list.shape;
  const uint8_t* scales = list.rows.scales + (side == RowSide::values ? shape.value_scales_at() : 0);
  const auto scales_of = [&](int32_t i) { return scales + shape.scales_bytes * size_t(list.index[i]); };
  if (lanes != kHeadLanes) {
    for (int32_t i = 0; i < list.n; ++i)
      k.widen_scales(reinterpret_cast<const uint16_t*>(scales_of(i)), lanes, out + i * lanes);
    return;
  }
  constexpr int32_t kRows = 64;  // widened together
  uint16_t stored[kRows][kHeadLanes];
  for (int32_t i = 0; i < list.n; i += kRows) {
    const int32_t count = list.n - i < kRows ? list.n - i : kRows;
    for (int32_t j = 0; j < count; ++j) std::memcpy(stored[j], scales_of(i + j), sizeof stored[j]);
    k.widen_scales(stored[0], count * kHeadLanes, out + i * kHeadLanes);
  }
}

Row take_rows(const RowShape& shape, size_t n, Arena* arena) {
  return {arena->take<uint8_t>(n * shape.key_bytes), arena->take<uint8_t>(n * shape.value_bytes),
          arena->take<uint8_t>(n * shape.scales_bytes + kSlack)};
}

void RowPool::lay_out(const RowShape& shape, int32_t n_layers, int32_t n_rows, Arena* arena) {
  shape_ = shape;
  n_layers_ = n_layers;
  n_rows_ = n_rows;
  rows_ = take_rows(shape, size_t(n_layers) * size_t(n_rows), arena);
}

void RowPool::copy_from(const RowPool& other) {
  const size_t rows = size_t(n_layers_) * size_t(n_rows_);
  std::memcpy(rows_.keys, other.rows_.keys, rows * shape_.key_bytes);
  std::memcpy(rows_.values, other.rows_.values, rows * shape_.value_bytes);
  std::memcpy(rows_.scales, other.rows_.scales, rows * shape_.scales_bytes);
}

}  // namespace pith::internal
