// Rows: what attention reads of a token whose keys and values are materialised, or of an id whose gate is, in one
// layer. One layout for both, so that a row of the pool can hold either.
//
//   keys      numbers [n_h, d_n]
//   values    numbers [n_h, d_v]
//   scales    [n_h] of keys, [n_h] of values
//
// Widths of heads are padded to 32. Numbers are int8 with scales of 16 bits (wide_scale.h), or float32 without scales.
// Three arrays, so that numbers lie in cache lines as heads do, and scales beside those of the next rows.
#ifndef PITH_CACHE_ROW_POOL_H
#define PITH_CACHE_ROW_POOL_H

#include <cstdint>

#include "ground/arena.h"
#include "model/config.h"
#include "kernels.h"
#include "layers/head_lanes.h"
#include "model/plan.h"

namespace pith::internal {

struct Row {
  uint8_t* keys;    // or a gate's first d_n lanes of every head
  uint8_t* values;  // or its last d_v
  uint8_t* scales;
};

struct RowShape {
  Precision precision;
  int32_t n_heads;
  int32_t content_width, value_width;    // of a head
  int32_t padded_content, padded_value;  // as stored
  size_t key_bytes, value_bytes, scales_bytes;

  size_t bytes() const { return key_bytes + value_bytes + scales_bytes; }
  size_t scale_bytes() const { return precision == Precision::i8 ? 2 : 0; }
  size_t value_scales_at() const { return size_t(n_heads) * scale_bytes(); }
  // Row i of those that begin at `rows`.
  Row at(Row rows, size_t i) const {
    return {rows.keys + key_bytes * i, rows.values + value_bytes * i, rows.scales + scales_bytes * i};
  }
};

enum class RowSide : uint8_t { keys, values };

RowShape row_shape(const Config& config, Precision precision);

// Rows of the pool in every layer, as far as the plan's bytes go: no more than the ring has slots.
int32_t pool_rows(const Config& config, const Plan& plan);
uint64_t pool_bytes(const Config& config, const Plan& plan);

// x [n_h, d_n + d_v] to and from a row; int8 rounds.
void store_row(const Kernels& kernels, const RowShape& shape, const float* x, Row row);
void load_row(const Kernels& kernels, const RowShape& shape, Row row, float* x);

// int8 rows: scale `i` of those that begin at `scales`.
float load_scale(const uint8_t* scales, int32_t i);

// Some of the rows that begin at `rows`: those with the numbers index [n].
struct RowList {
  const RowShape* shape;
  Row rows;
  const int32_t* index;
  int32_t n;
};

// int8 rows: the scales of the heads of their keys or values, out [n, lanes]. Beyond the heads comes out whatever lies
// there.
void gather_scales(const Kernels& kernels, const RowList& list, RowSide side, int32_t lanes, float* out);

// n rows, one after the other.
Row take_rows(const RowShape& shape, size_t n, Arena* arena);

class RowPool {
 public:
  void lay_out(const RowShape& shape, int32_t n_layers, int32_t n_rows, Arena* arena);

  void copy_from(const RowPool& other);  // laid out alike

  const RowShape& shape() const { return shape_; }
  Row row(int32_t layer, int32_t i) const { return shape_.at(rows_, size_t(layer) * size_t(n_rows_) + size_t(i)); }

 private:
  RowShape shape_{};
  int32_t n_layers_ = 0, n_rows_ = 0;
  Row rows_{};  // [n_layers, n_rows]
};

}  // namespace pith::internal

#endif
