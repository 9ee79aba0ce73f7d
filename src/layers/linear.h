// Matrix-vector products: the input in the forms that kernels read, and y = W x + bias over a team.
#ifndef PITH_LAYERS_LINEAR_H
#define PITH_LAYERS_LINEAR_H

#include <cstdint>
#include <span>

#include "ground/arena.h"
#include "kernels.h"
#include "ground/parallel.h"
#include "model/weights.h"

namespace pith::internal {

// A vector that goes into a product. Write x [cols], then call prepare().
struct Input {
  float* x = nullptr;        // [padded_cols]
  int8_t* q = nullptr;       // [padded_cols]
  float* d = nullptr;        // [padded_cols / 32]
  int32_t* start = nullptr;  // [padded_cols / 32][4]
  int8_t* octets = nullptr;  // [padded_cols / 8][2][8]

  void lay_out(int32_t max_cols, Arena* arena);

  // Pads x [cols] with zeros. With int8 activations quantises it, and puts the rounded values back into x, so that
  // float and integer kernels see the same numbers.
  Activation prepare(const Kernels& kernels, int32_t cols, bool is_i8) const;
};

// n vectors that go into one product, one behind the other.
struct Columns {
  float* x = nullptr;        // [n, cols]
  int8_t* q = nullptr;       // [n, cols]
  float* d = nullptr;        // [n, cols / 32]
  int32_t* start = nullptr;  // [n, cols / 32][4]
  int8_t* octets = nullptr;  // [n, cols / 8][2][8]
  int32_t cols = 0;          // padded

  void lay_out(int32_t max_columns, int32_t max_cols, Arena* arena);
  void lay_out_integers(int32_t max_columns, int32_t max_cols, Arena* arena);  // all but x
  Activation activation(bool is_i8) const;

  // Zeros behind the first `width` numbers of n columns.
  void pad(int32_t n, int32_t width) const;

  // As Input::prepare, for n columns whose x [n, cols] is padded already, and for weights of one type: rounded values
  // go back into x only where those read it.
  Activation prepare(const Kernels& kernels, int32_t n, bool is_i8, WeightType weights) const;
};

// y[j y_stride + i] = row 8 first + i of W times column j, for panels [first, last) of w and n columns. No bias.
void apply_columns(const Kernels& kernels, const Linear& w, int32_t first, int32_t last, Activation columns, int32_t n,
                   float* y, size_t y_stride);

// The same for all rows, and with the bias.
void apply_columns(const Kernels& kernels, const Linear& w, Activation columns, int32_t n, float* y, size_t y_stride);

// y[8 first .. 8 last) for panels of w, by the kernel that fits the weights and the activation. No bias.
void apply_panels(const Kernels& kernels, const Linear& w, int32_t first, int32_t last, Activation a, float* y);

// y = W x + bias on the calling thread. y: [padded_rows].
void apply(const Kernels& kernels, const Linear& w, Activation a, float* y);

// y = W a + bias. y: [padded_rows].
struct Product {
  const Linear* w;
  Activation a;
  float* y;
};

// Products that do not wait for each other, over the team as one job: the threads join once.
void apply(const Kernels& kernels, Team& team, std::span<const Product> products);
inline void apply(const Kernels& kernels, Team& team, const Linear& w, Activation a, float* y) {
  const Product product{&w, a, y};
  apply(kernels, team, {&product, 1});
}

// y = W^T x over the rows of panels [first, last); x: [8 (last - first)], y: [padded_cols].
void apply_transposed(const Kernels& kernels, const Linear& w, int32_t first, int32_t last, const float* x, float* y);

// Row `row` of w as floats: out [cols].
void load_row(const Kernels& kernels, const Linear& w, int32_t row, float* out);

}  // namespace pith::internal

#endif
