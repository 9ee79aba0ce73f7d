// Finished rows: what attention reads of a token whose keys and values are computed (`keys`), or of an id whose gate is
// (`gate`), in one layer. One layout for both, so that a row of the pool can hold either.
//
//   first half     numbers [n_h, key_width], scales [n_h]; of a gate also scales [n_means] and means [n_means, r]
//   second half    numbers [n_h, value_width], scales [n_h]
//
// Widths of heads are padded to 32. Numbers are int8 with fp16 scales, or float32 without scales. A gate's means are
// what norm_g subtracts, as vectors to multiply with a latent: W_UKV^T g / N over all N channels of the rounded gate
// (`layer`), or over those of the keys and those of the values (`layer_split`); none otherwise.
#ifndef PITH_ROW_POOL_H
#define PITH_ROW_POOL_H

#include <cstdint>

#include "arena.h"
#include "config.h"
#include "head_rows.h"
#include "kernels.h"
#include "plan.h"

namespace pith {

struct Row {
  uint8_t* first;
  uint8_t* second;
};

struct RowShape {
  bool is_i8;
  int32_t n_heads;
  int32_t content_width, value_width;    // of a head
  int32_t padded_content, padded_value;  // as stored
  int32_t n_means, latent_width;         // of a gate
  size_t first_bytes, second_bytes;      // of a row, multiples of 16

  size_t bytes() const { return first_bytes + second_bytes; }
  size_t number_bytes() const { return is_i8 ? 1 : 4; }
  size_t scale_bytes() const { return is_i8 ? 2 : 0; }
  size_t first_scales_at() const { return size_t(n_heads) * size_t(padded_content) * number_bytes(); }
  size_t second_scales_at() const { return size_t(n_heads) * size_t(padded_value) * number_bytes(); }
  size_t mean_scales_at() const { return first_scales_at() + size_t(n_heads) * scale_bytes(); }
  size_t means_at() const { return mean_scales_at() + size_t(n_means) * scale_bytes(); }
};

RowShape row_shape(const Config& config, bool is_i8);

// Rows of the pool in every layer, as far as the plan's bytes go: no more than the ring has slots.
int32_t pool_rows(const Config& config, const Plan& plan);
uint64_t pool_bytes(const Config& config, const Plan& plan);

// x [n_h, d_n + d_v] to and from a row; int8 rounds.
void store_row(const Kernels& kernels, const RowShape& shape, const float* x, Row row);
void load_row(const Kernels& kernels, const RowShape& shape, Row row, float* x);

// Means of a gate [n_means, latent_width].
void store_mean(const Kernels& kernels, const RowShape& shape, int32_t i, const float* mean, Row row);

// int8 rows: scale `i` of those that begin at `scales`.
float load_scale(const uint8_t* scales, int32_t i);

// int8 rows: the scales of n rows' heads, [n, lanes], from halves that begin at first + stride * index[i]. Reads lanes
// scales of each.
void gather_scales(const Kernels& kernels, const uint8_t* first, size_t stride, size_t scales_at, const int32_t* index,
                   int32_t n, int32_t lanes, float* scales);

// n rows, one behind the other.
Row take_rows(const RowShape& shape, size_t n, Arena* arena);

class RowPool {
 public:
  void lay_out(const RowShape& shape, int32_t n_layers, int32_t n_rows, Arena* arena);

  void copy_from(const RowPool& other);  // laid out alike

  const RowShape& shape() const { return shape_; }
  Row row(int32_t layer, int32_t i) const {
    return {first_of(layer) + shape_.first_bytes * size_t(i), second_of(layer) + shape_.second_bytes * size_t(i)};
  }
  uint8_t* first_of(int32_t layer) const { return first_ + size_t(layer) * size_t(n_rows_) * shape_.first_bytes; }
  uint8_t* second_of(int32_t layer) const { return second_ + size_t(layer) * size_t(n_rows_) * shape_.second_bytes; }

 private:
  RowShape shape_{};
  int32_t n_layers_ = 0, n_rows_ = 0;
  uint8_t* first_ = nullptr;   // [n_layers, n_rows] halves
  uint8_t* second_ = nullptr;  // [n_layers, n_rows] halves
};

}  // namespace pith

#endif
