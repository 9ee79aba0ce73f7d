#include "layers/linear.h"

namespace pith::internal {
namespace {

// Products below this many multiply-adds stay on one thread: waking a team takes as long as they do (some 5 us).
constexpr int64_t kSmallProduct = 1 << 15;

constexpr int32_t kTaskRows = 64;  // of a matrix: what one thread takes at a time, at least

void add_bias(const Kernels& kernels, const Linear& w, float* y) {
  if (w.bias != nullptr) kernels.add(y, w.bias, w.rows, y);
}

auto matmul_kernel(const Kernels& k, WeightType type) {
  return type == WeightType::q4 ? k.matmul_q4_i8 : type == WeightType::q8 ? k.matmul_q8_i8 : k.matmul_q4m_i8;
}

void add_biases(const Kernels& kernels, std::span<const Product> products, int32_t n) {
  for (const Product& p : products) {
    for (int32_t j = 0; j < n; ++j) add_bias(kernels, *p.w, p.y + p.y_stride * size_t(j));
  }
}

int32_t n_panels(const Linear& w) { return int32_t(padded_rows(w.rows) / kPanelRows); }

// y[8 first .. 8 last) for panels of w and one column. No bias.
void apply_panels(const Kernels& k, const Linear& w, int32_t first, int32_t last, Activation a, float* y) {
  const PanelRange range{w.w, w.blocks, first, last};
  const bool is_integer = a.q != nullptr;
  switch (w.type) {
    case WeightType::q4: return is_integer ? k.matvec_q4_i8(range, a, y) : k.matvec_q4_f32(range, a, y);
    case WeightType::q8: return is_integer ? k.matvec_q8_i8(range, a, y) : k.matvec_q8_f32(range, a, y);
    case WeightType::q4m: return is_integer ? k.matvec_q4m_i8(range, a, y) : k.matvec_q4m_f32(range, a, y);
    case WeightType::f32: return k.matvec_f32_f32(range, a, y);
  }
}

// The threads share the rows of all products.
void apply_over_team(const Kernels& kernels, Team& team, std::span<const Product> products, int32_t n) {
  constexpr int32_t kStep = kTaskRows / kPanelRows;
  int64_t n_products = 0;
  int32_t n_tasks = 0;
  for (const Product& p : products) {
    n_products += int64_t(p.w->rows) * p.w->cols * n;
    n_tasks += quotient_up(n_panels(*p.w), kStep);
  }
  const auto run_task = [&](int32_t task, int32_t) {
    for (const Product& p : products) {
      const int32_t panels = n_panels(*p.w), tasks = quotient_up(panels, kStep);
      if (task >= tasks) {
        task -= tasks;
        continue;
      }
      const int32_t first = task * kStep, last = first + kStep < panels ? first + kStep : panels;
      if (n == 1) return apply_panels(kernels, *p.w, first, last, p.a, p.y);
      return apply_columns(kernels, {*p.w, first, last}, p.a, n, p.y + first * kPanelRows, p.y_stride);
    }
  };
  if (n_products < kSmallProduct) team.run_alone(n_tasks, run_task);
  else team.run(n_tasks, run_task);
  add_biases(kernels, products, n);
}

}  // namespace

void Columns::lay_out(int32_t max_columns, int32_t width, Arena* arena) {
  x = arena->take<float>(size_t(max_columns) * size_t(padded_cols(width)));
  lay_out_integers(max_columns, width, arena);
}

void Columns::lay_out_integers(int32_t max_columns, int32_t width, Arena* arena) {
  const size_t n = size_t(max_columns) * size_t(padded_cols(width));
  q = arena->take<int8_t>(n);
  d = arena->take<float>(n / kBlockCols);
  start = arena->take<int32_t>(n / kBlockCols * 4);
  octets = arena->take<int8_t>(2 * n);
  sums = arena->take<float>(n / kBlockCols);
  cols = int32_t(padded_cols(width));
}

Activation Columns::activation(Precision precision) const {
  if (precision == Precision::i8) return {x, q, d, start, octets, sums};
  return {x, nullptr, nullptr, nullptr, nullptr, nullptr};
}

Columns Columns::from(int32_t i) const {
  const int32_t first = i * cols, block = first / kBlockCols;
  return {x + first, q + first, d + block, start + 4 * block, octets + 2 * first, sums + block, cols};
}

Columns Columns::of_width(int32_t width) const {
  Columns narrow = *this;
  narrow.cols = int32_t(padded_cols(width));
  return narrow;
}

void Columns::pad(int32_t n, int32_t width) const {
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t j = width; j < cols; ++j) x[i * cols + j] = 0;
  }
}

Activation Columns::prepare(const Kernels& kernels, int32_t n, Precision precision, WeightType readers) const {
  if (precision == Precision::i8) round(kernels, 0, n * cols, readers);
  return activation(precision);
}

void Columns::round(const Kernels& kernels, int32_t first, int32_t n, WeightType readers) const {
  const int32_t block = first / kBlockCols;
  kernels.quantize_blocks(x + first, n, q + first, d + block);
  kernels.spread_blocks(q + first, d + block, n, start + 4 * block, octets + 2 * first, sums + block);
  for (int32_t b = block; b < block + n / kBlockCols && readers == WeightType::f32; ++b)
    kernels.dequantize_row(q + b * kBlockCols, d[b], kBlockCols, x + b * kBlockCols);
}

WeightType readers_of(std::initializer_list<const Linear*> matrices) {
  for (const Linear* w : matrices) {
    if (w->w != nullptr && w->type == WeightType::f32) return WeightType::f32;
  }
  return WeightType::q8;
}

void apply_columns(const Kernels& k, const PanelSlice& slice, Activation a, int32_t n, float* y, size_t y_stride) {
  const Linear& w = slice.w;
  const uint8_t* panels = w.w + panel_bytes(w.type, w.blocks) * size_t(slice.first);
  const PanelRange range{panels, w.blocks, 0, slice.last - slice.first};
  if (a.q != nullptr && w.type != WeightType::f32) {
    return matmul_kernel(k, w.type)(range, a, n, y, y_stride);
  }
  Linear rows = w;
  rows.w = range.w;
  for (int32_t j = 0; j < n; ++j) {
    const float* x = a.x + size_t(j) * size_t(w.blocks * kBlockCols);
    const Activation column{x, nullptr, nullptr, nullptr, nullptr, nullptr};
    apply_panels(k, rows, 0, range.last, column, y + y_stride * size_t(j));
  }
}

void apply(const Kernels& kernels, const Linear& w, Activation a, float* y) {
  apply_panels(kernels, w, 0, n_panels(w), a, y);
  add_bias(kernels, w, y);
}

void apply(const Kernels& kernels, const Worker& worker, std::span<const Product> products, int32_t n) {
  if (worker.team != nullptr) return apply_over_team(kernels, *worker.team, products, n);
  for (const Product& p : products) apply_columns(kernels, {*p.w, 0, n_panels(*p.w)}, p.a, n, p.y, p.y_stride);
  add_biases(kernels, products, n);
}

void apply_transposed(const Kernels& k, const PanelSlice& slice, const float* x, Precision precision, float* y) {
  const Linear& w = slice.w;
  const PanelRange range{w.w, w.blocks, slice.first, slice.last};
  const bool is_rounded = precision == Precision::i8;
  switch (w.type) {
    case WeightType::q4: return is_rounded ? k.transposed_q4_i8(range, x, y) : k.transposed_q4(range, x, y);
    case WeightType::q8: return is_rounded ? k.transposed_q8_i8(range, x, y) : k.transposed_q8(range, x, y);
    case WeightType::q4m: return is_rounded ? k.transposed_q4m_i8(range, x, y) : k.transposed_q4m(range, x, y);
    case WeightType::f32: return k.transposed_f32(range, x, y);
  }
}

void load_row(const Kernels& k, const Linear& w, int32_t row, float* out) {
  switch (w.type) {
    case WeightType::q4: return k.row_q4(w.w, w.blocks, row, w.cols, out);
    case WeightType::q8: return k.row_q8(w.w, w.blocks, row, w.cols, out);
    case WeightType::q4m: return k.row_q4m(w.w, w.blocks, row, w.cols, out);
    case WeightType::f32: return k.row_f32(w.w, w.blocks, row, w.cols, out);
  }
}

}  // namespace pith::internal
