// Products of weights with columns of activations: y = W x + bias. What a layer asks for is the same for one column and
// for many; the kernel is chosen here, by the weights' type, the columns and the worker.
#ifndef PITH_LAYERS_LINEAR_H
#define PITH_LAYERS_LINEAR_H

#include <cstdint>
#include <span>

#include "ground/arena.h"
#include "kernels.h"
#include "layers/chunk.h"
#include "model/precision.h"
#include "model/weights.h"

namespace pith::internal {

// n vectors that go into one product, one after the other, in the forms that kernels read. Write x, then call
// prepare().
struct Columns {
  float* x = nullptr;        // [n, cols]
  int8_t* q = nullptr;       // [n, cols]
  float* d = nullptr;        // [n, cols / 32]
  int32_t* start = nullptr;  // [n, cols / 32][4]
  int8_t* octets = nullptr;  // [n, cols / 8][2][8]
  float* sums = nullptr;     // [n, cols / 32]
  int32_t cols = 0;          // padded to whole blocks

  void lay_out(int32_t max_columns, int32_t width, Arena* arena);
  void lay_out_integers(int32_t max_columns, int32_t width, Arena* arena);  // all but x

  float* column(int32_t i) const { return x + i * cols; }
  Columns from(int32_t i) const;          // the columns from the i-th on
  Columns of_width(int32_t width) const;  // narrower ones in the same memory
  Activation activation(Precision precision) const;

  // Zeros after the first `width` numbers of n columns.
  void pad(int32_t n, int32_t width) const;

  // Quantises n padded columns if they are to be int8. `readers`: what reads them; f32 weights read x, where the
  // rounded numbers are put back, so that float and integer kernels see the same.
  Activation prepare(const Kernels& kernels, int32_t n, Precision precision, WeightType readers) const;

  // The same of whole blocks, numbers [first, first + n) of all columns, which are to be int8.
  void round(const Kernels& kernels, int32_t first, int32_t n, WeightType readers) const;
};

// What columns are prepared for that several matrices read: floats if one of them is. A matrix that is absent reads
// nothing.
WeightType readers_of(std::initializer_list<const Linear*> matrices);

// y[j y_stride + i] = row i of w times column j, plus the bias. y: rows padded to whole panels.
struct Product {
  const Linear* w;
  Activation a;
  float* y;
  size_t y_stride = 0;
};

// Products of n columns that do not wait for each other: over the worker's team, as one job that threads join once, or
// by the worker alone where it has none.
void apply(const Kernels& kernels, const Worker& worker, std::span<const Product> products, int32_t n);

// Panels [first, last) of a matrix: 8 rows each.
struct PanelSlice {
  const Linear& w;
  int32_t first, last;
};

// y[j y_stride + i] = row i of the slice times column j, for n columns. No bias.
void apply_columns(const Kernels& kernels, const PanelSlice& slice, Activation columns, int32_t n, float* y,
                   size_t y_stride);

// y = W x + bias of one column, on the calling thread. y: [padded_rows].
void apply(const Kernels& kernels, const Linear& w, Activation a, float* y);

// y = W^T x over the rows of the slice; x: [8 (last - first)], y: [padded_cols]. `precision`: of x; i8 rounds it, times
// the scales of W, where W is of integers.
void apply_transposed(const Kernels& kernels, const PanelSlice& slice, const float* x, Precision precision, float* y);

// Row `row` of w as floats: out [cols].
void load_row(const Kernels& kernels, const Linear& w, int32_t row, float* out);

}  // namespace pith::internal

#endif
