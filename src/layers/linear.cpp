#include "layers/linear.h"

namespace pith::internal {
namespace {

// Products below this many multiply-adds stay on one thread: waking a team takes as long as they do (some 5 us).
constexpr int64_t kSmallProduct = 1 << 15;

constexpr int32_t kPieceRows = 64;  // rows that one thread takes at a time, at least

void add_bias(const Kernels& kernels, const Linear& w, float* y) {
  if (w.bias != nullptr) kernels.add(y, w.bias, w.rows, y);
}

int32_t n_panels(const Linear& w) { return int32_t(padded_rows(w.rows) / kPanelRows); }

}  // namespace

void Input::lay_out(int32_t max_cols, Arena* arena) {
  const size_t cols = size_t(padded_cols(max_cols));
  x = arena->take<float>(cols);
  q = arena->take<int8_t>(cols);
  d = arena->take<float>(cols / kBlockCols);
  start = arena->take<int32_t>(cols / kBlockCols * 4);
  octets = arena->take<int8_t>(2 * cols);
}

Activation Input::prepare(const Kernels& kernels, int32_t cols, bool is_i8) const {
  const int32_t padded = int32_t(padded_cols(cols));
  for (int32_t i = cols; i < padded; ++i) x[i] = 0;
  if (!is_i8) return {x, nullptr, nullptr, nullptr, nullptr};
  kernels.quantize_blocks(x, padded, q, d);
  kernels.spread_blocks(q, padded, start, octets);
  for (int32_t b = 0; b < padded / kBlockCols; ++b)
    kernels.dequantize_row(q + b * kBlockCols, d[b], kBlockCols, x + b * kBlockCols);
  return {x, q, d, start, octets};
}

void Columns::lay_out(int32_t max_columns, int32_t max_cols, Arena* arena) {
  x = arena->take<float>(size_t(max_columns) * size_t(padded_cols(max_cols)));
  lay_out_integers(max_columns, max_cols, arena);
}

void Columns::lay_out_integers(int32_t max_columns, int32_t max_cols, Arena* arena) {
  const size_t n = size_t(max_columns) * size_t(padded_cols(max_cols));
  q = arena->take<int8_t>(n);
  d = arena->take<float>(n / kBlockCols);
  start = arena->take<int32_t>(n / kBlockCols * 4);
  octets = arena->take<int8_t>(2 * n);
  cols = int32_t(padded_cols(max_cols));
}

Activation Columns::activation(bool is_i8) const {
  if (is_i8) return {x, q, d, start, octets};
  return {x, nullptr, nullptr, nullptr, nullptr};
}

void Columns::pad(int32_t n, int32_t width) const {
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t j = width; j < cols; ++j) x[i * cols + j] = 0;
  }
}

Activation Columns::prepare(const Kernels& kernels, int32_t n, bool is_i8, WeightType weights) const {
  if (is_i8) {
    kernels.quantize_blocks(x, n * cols, q, d);
    kernels.spread_blocks(q, n * cols, start, octets);
    for (int32_t b = 0; b < n * cols / kBlockCols && weights == WeightType::f32; ++b)
      kernels.dequantize_row(q + b * kBlockCols, d[b], kBlockCols, x + b * kBlockCols);
  }
  return activation(is_i8);
}

void apply_columns(const Kernels& k, const Linear& w, int32_t first, int32_t last, Activation a, int32_t n, float* y,
                   size_t y_stride) {
  const PanelRange range{w.w + panel_bytes(w.type, w.blocks) * size_t(first), w.blocks, 0, last - first};
  if (a.q != nullptr && w.type != WeightType::f32) {
    (w.type == WeightType::q4 ? k.matmul_q4_i8 : k.matmul_q8_i8)(range, a, n, y, y_stride);
    return;
  }
  Linear rows = w;
  rows.w = range.w;
  for (int32_t j = 0; j < n; ++j) {
    const Activation column{a.x + size_t(j) * size_t(w.blocks * kBlockCols), nullptr, nullptr, nullptr, nullptr};
    apply_panels(k, rows, 0, range.last, column, y + y_stride * size_t(j));
  }
}

void apply_columns(const Kernels& k, const Linear& w, Activation a, int32_t n, float* y, size_t y_stride) {
  apply_columns(k, w, 0, n_panels(w), a, n, y, y_stride);
  for (int32_t j = 0; j < n; ++j) add_bias(k, w, y + y_stride * size_t(j));
}

void apply_panels(const Kernels& k, const Linear& w, int32_t first, int32_t last, Activation a, float* y) {
  const PanelRange range{w.w, w.blocks, first, last};
  const bool is_integer = a.q != nullptr;
  switch (w.type) {
    case WeightType::q4: return is_integer ? k.matvec_q4_i8(range, a, y) : k.matvec_q4_f32(range, a, y);
    case WeightType::q8: return is_integer ? k.matvec_q8_i8(range, a, y) : k.matvec_q8_f32(range, a, y);
    case WeightType::f32: return k.matvec_f32_f32(range, a, y);
  }
}

void apply(const Kernels& kernels, const Linear& w, Activation a, float* y) {
  apply_panels(kernels, w, 0, n_panels(w), a, y);
  add_bias(kernels, w, y);
}

void apply(const Kernels& kernels, Team& team, std::span<const Product> products) {
  constexpr int32_t kStep = kPieceRows / kPanelRows;
  int64_t n_products = 0;
  int32_t n_pieces = 0;
  for (const Product& p : products) {
    n_products += int64_t(p.w->rows) * p.w->cols;
    n_pieces += (n_panels(*p.w) + kStep - 1) / kStep;
  }
  team.run(n_pieces, n_products < kSmallProduct, [&](int32_t piece, int32_t) {
    for (const Product& p : products) {
      const int32_t panels = n_panels(*p.w), pieces = (panels + kStep - 1) / kStep;
      if (piece >= pieces) {
        piece -= pieces;
        continue;
      }
      const int32_t first = piece * kStep, last = first + kStep < panels ? first + kStep : panels;
      return apply_panels(kernels, *p.w, first, last, p.a, p.y);
    }
  });
  for (const Product& p : products) add_bias(kernels, *p.w, p.y);
}

void apply_transposed(const Kernels& k, const Linear& w, int32_t first, int32_t last, const float* x, float* y) {
  const PanelRange range{w.w, w.blocks, first, last};
  switch (w.type) {
    case WeightType::q4: return k.transposed_q4(range, x, y);
    case WeightType::q8: return k.transposed_q8(range, x, y);
    case WeightType::f32: return k.transposed_f32(range, x, y);
  }
}

void load_row(const Kernels& k, const Linear& w, int32_t row, float* out) {
  switch (w.type) {
    case WeightType::q4: return k.row_q4(w.w, w.blocks, row, w.cols, out);
    case WeightType::q8: return k.row_q8(w.w, w.blocks, row, w.cols, out);
    case WeightType::f32: return k.row_f32(w.w, w.blocks, row, w.cols, out);
  }
}

}  // namespace pith::internal
