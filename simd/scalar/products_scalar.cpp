#include "scalar/products_scalar.h"

#include "half.h"

namespace pith::internal::scalar {
namespace {

// sum_k u q over the 32 columns of one lane: `bytes` is the lane's first byte.
int32_t dot_q4(const uint8_t* bytes, const int8_t* q) {
  int32_t total = 0;
  for (int32_t p = 0; p < 2; ++p) {
    for (int32_t i = 0; i < 8; ++i) {
      const int32_t byte = bytes[64 * p + i];
      total += (byte & 15) * q[8 * p + i] + (byte >> 4) * q[16 + 8 * p + i];
    }
  }
  return total;
}

int32_t dot_q8(const uint8_t* bytes, const int8_t* q) {
  int32_t total = 0;
  for (int32_t p = 0; p < 4; ++p) {
    for (int32_t i = 0; i < 8; ++i) total += int8_t(bytes[64 * p + i]) * q[8 * p + i];
  }
  return total;
}

// The contract of matvec_q4_i8, _q8_i8 and _q4m_i8, row by row.
template <WeightType type>
void matvec(PanelRange w, Activation a, float* y) {
  const size_t bytes = panel_bytes(type, w.blocks);
  for (int32_t p = w.first; p < w.last; ++p) {
    const uint8_t* panel = w.w + bytes * size_t(p);
    for (int32_t row = 0; row < kPanelRows; ++row) {
      float acc = 0;
      for (int32_t b = 0; b < w.blocks; ++b) {
        const BlockPlace place = place_of(type, b, w.blocks);
        const uint8_t* lane = panel + place.q + 8 * kLaneOfRow[row];
        const int8_t* q = a.q + b * kBlockCols;
        int32_t total = type == WeightType::q8 ? dot_q8(lane, q) : dot_q4(lane, q);
        if (type == WeightType::q4) total += a.start[4 * b];
        const float d = half_to_float(read_half(panel + place.d + 2 * row));
        acc = __builtin_fmaf(float(total), d * a.d[b], acc);
        if (has_minima(type)) acc = __builtin_fmaf(half_to_float(read_half(panel + place.m + 2 * row)), a.sums[b], acc);
      }
      y[p * kPanelRows + row] = acc;
    }
  }
}

}  // namespace

void matvec_q4_i8(PanelRange w, Activation a, float* y) { matvec<WeightType::q4>(w, a, y); }
void matvec_q8_i8(PanelRange w, Activation a, float* y) { matvec<WeightType::q8>(w, a, y); }
void matvec_q4m_i8(PanelRange w, Activation a, float* y) { matvec<WeightType::q4m>(w, a, y); }

// Column j of the input.
static Activation column(Activation a, int32_t blocks, int32_t j) {
  const size_t block = size_t(blocks) * size_t(j);
  return {a.x, a.q + block * kBlockCols, a.d + block, a.start + 4 * block, nullptr, a.sums + block};
}

void matmul_q4_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  for (int32_t j = 0; j < n; ++j) matvec_q4_i8(w, column(a, w.blocks, j), y + y_stride * size_t(j));
}

void matmul_q8_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  for (int32_t j = 0; j < n; ++j) matvec_q8_i8(w, column(a, w.blocks, j), y + y_stride * size_t(j));
}

void matmul_q4m_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  for (int32_t j = 0; j < n; ++j) matvec_q4m_i8(w, column(a, w.blocks, j), y + y_stride * size_t(j));
}

void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride) {
  for (int32_t j = 0; j < n; ++j, q += blocks * kBlockCols) {
    for (int32_t row = 0; row < panels * kPanelRows; ++row) {
      const uint8_t* lane =
          w + kQ8BlockBytes * size_t(blocks) * size_t(row / kPanelRows) + 8 * kLaneOfRow[row % kPanelRows];
      int32_t total = 0;
      for (int32_t b = 0; b < blocks; ++b) total += dot_q8(lane + kQ8BlockBytes * size_t(b), q + b * kBlockCols);
      out[out_stride * size_t(j) + size_t(row)] = total;
    }
  }
}
void head_dots_i8(const int8_t* q, int32_t n_heads, int32_t heads_per_kv, int32_t width, GatheredRows rows, int32_t n,
                  int32_t* out, size_t out_stride) {
  for (int32_t i = 0; i < n; ++i) {
    const int8_t* row = rows.first + rows.stride * size_t(rows.index[i]);
    for (int32_t h = 0; h < n_heads; ++h) {
      int32_t total = 0;
      for (int32_t j = 0; j < width; ++j) total += q[h * width + j] * row[h / heads_per_kv * width + j];
      out[out_stride * size_t(i) + size_t(h)] = total;
    }
  }
}

void add_quad_scores(QuadQuery q, GatheredRows rows, const float* row_d, size_t row_stride, int32_t n, float* x) {
  for (int32_t i = 0; i < n; ++i, x += q.lanes) {
    const int8_t* row = rows.first + rows.stride * size_t(rows.index[i]);
    for (int32_t b = 0; b < q.n_blocks; ++b) {
      for (int32_t h = 0; h < q.lanes; ++h) {
        int32_t total = 0;
        for (int32_t j = 0; j < q.block; ++j) {
          const int32_t quad = (b * q.block + j) / 4;
          total += q.q[(size_t(quad) * size_t(q.lanes) + size_t(h)) * 4 + size_t(j % 4)] * row[b * q.block + j];
        }
        x[h] = __builtin_fmaf(float(total), q.d[b * q.lanes + h] * row_d[row_stride * size_t(i) + size_t(b)], x[h]);
      }
    }
  }
}
void interleave_rows(GatheredRows rows, int32_t n, uint8_t* out, int32_t width) {
  for (int32_t i = 0; i < (n + 3) / 4 * 4; ++i) {
    for (int32_t j = 0; j < width; ++j)
      out[(size_t(i / 4) * size_t(width) + size_t(j)) * 4 + size_t(i % 4)] =
          i < n ? uint8_t(rows.first[rows.stride * size_t(rows.index[i]) + size_t(j)]) : uint8_t(0);
  }
}
void blend_quad_sums(QuadWeights w, int32_t n_heads, const uint8_t* values, int32_t width, int32_t n, const float* keep,
                     const float* weight, float* out, size_t out_stride) {
  for (int32_t h = 0; h < n_heads; ++h, out += out_stride) {
    for (int32_t j = 0; j < width; ++j) {
      int32_t total = 0;
      for (int32_t i = 0; i < n; ++i)
        total += w.p[(i / 4 * w.lanes + h) * 4 + i % 4] *
                 int8_t(values[(size_t(i / 4) * size_t(width) + size_t(j)) * 4 + size_t(i % 4)]);
      out[j] = __builtin_fmaf(weight[h], w.d[h] * float(total), keep[h] * out[j]);
    }
  }
}

void sum_rows_q4(const uint8_t* block, size_t panel_stride, int32_t n_panels, const int8_t* z, int32_t* out) {
  for (int32_t k = 0; k < kBlockCols; ++k) {
    out[k] = 0;
    for (int32_t row = 0; row < n_panels * kPanelRows; ++row) {
      const uint8_t* panel = block + panel_stride * size_t(row / kPanelRows);
      const uint8_t byte = panel[64 * (k % 16 / 8) + 8 * kLaneOfRow[row % kPanelRows] + k % 8];
      out[k] += (k < 16 ? byte & 15 : byte >> 4) * z[row];
    }
  }
}
void sum_rows_q8(const uint8_t* block, size_t panel_stride, int32_t n_panels, const int8_t* z, int32_t* out) {
  for (int32_t k = 0; k < kBlockCols; ++k) {
    out[k] = 0;
    for (int32_t row = 0; row < n_panels * kPanelRows; ++row) {
      const uint8_t* panel = block + panel_stride * size_t(row / kPanelRows);
      out[k] += int8_t(panel[64 * (k / 8) + 8 * kLaneOfRow[row % kPanelRows] + k % 8]) * z[row];
    }
  }
}

}  // namespace pith::internal::scalar
