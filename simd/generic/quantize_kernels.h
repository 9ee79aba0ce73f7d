// Quantisation of activations and dequantisation of stored rows, in plain loops that each tier's flags vectorise: every
// operation is elementwise, exact or correctly rounded. No include guard: one inclusion per tier, in its anonymous namespace.

// Rounds to the nearest integer, halves to even; |x| < 2^22. The classic addition of 1.5 * 2^23.
float nearest_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

// The larger of |x| and another magnitude, all as bits: those of non-negative floats order like the floats; NaN comes out on top.
uint32_t larger_magnitude(float x, uint32_t other) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  bits &= 0x7fffffffu;
  return bits > other ? bits : other;
}

// q = round(inverse x), x ~= scale q.
struct RowScale {
  float inverse, scale;
};

// Of a row whose largest magnitude has these bits. inverse 0: all q are 0, and scale is 0 or not finite.
RowScale row_scale(uint32_t largest) {
  float magnitude;
  __builtin_memcpy(&magnitude, &largest, sizeof magnitude);
  const float inverse = 127.0f / magnitude;
  const bool usable = inverse < 3.4e38f && inverse > 0;          // false for 0, denormals below 4e-37, infinity and NaN
  if (!usable) return {0, magnitude < 1.0f ? 0.0f : magnitude};  // NaN and infinity pass through
  return {inverse, magnitude / 127.0f};
}

int8_t quantized(float x, float inverse) { return int8_t(int32_t(nearest_even(x * inverse))); }

// q = round(127 x / max|x|). Non-finite input gives a non-finite scale and zeros, so that the logits show it.
float quantize_row(const float* x, int32_t n, int8_t* q) {
  uint32_t largest = 0;
  for (int32_t i = 0; i < n; ++i) largest = larger_magnitude(x[i], largest);
  const RowScale row = row_scale(largest);
  if (row.inverse == 0) {
    for (int32_t i = 0; i < n; ++i) q[i] = 0;
    return row.scale;
  }
  for (int32_t i = 0; i < n; ++i) q[i] = quantized(x[i], row.inverse);
  return row.scale;
}

// quantize_row of n numbers value(i, i / 32), each computed twice instead of kept.
template <typename F>
PITH_INLINE float quantize_computed(int32_t n, int8_t* q, const F& value) {
  const int32_t whole = n / kBlockCols;
  uint32_t largest = 0;
  for (int32_t b = 0; b < whole; ++b) {
    for (int32_t i = 0; i < kBlockCols; ++i) largest = larger_magnitude(value(b * kBlockCols + i, b), largest);
  }
  for (int32_t i = whole * kBlockCols; i < n; ++i) largest = larger_magnitude(value(i, whole), largest);
  const RowScale row = row_scale(largest);
  if (row.inverse == 0) {
    for (int32_t i = 0; i < n; ++i) q[i] = 0;
    return row.scale;
  }
  for (int32_t b = 0; b < whole; ++b) {
    int8_t block[kBlockCols];  // which nothing else points to, so that the loop needs no check of that
    for (int32_t i = 0; i < kBlockCols; ++i) block[i] = quantized(value(b * kBlockCols + i, b), row.inverse);
    __builtin_memcpy(q + b * kBlockCols, block, sizeof block);
  }
  for (int32_t i = whole * kBlockCols; i < n; ++i) q[i] = quantized(value(i, whole), row.inverse);
  return row.scale;
}

float quantize_product(const float* m, const int8_t* g, int32_t n, int8_t* q) {
  return quantize_computed(n, q, [=](int32_t i, int32_t) { return m[i] * float(g[i]); });
}

float quantize_dots(const int32_t* dots, const float* d, const int8_t* mean, float s, int32_t n, int8_t* q) {
  if (mean == nullptr) return quantize_computed(n, q, [=](int32_t i, int32_t b) { return float(dots[i]) * d[b]; });
  return quantize_computed(
      n, q, [=](int32_t i, int32_t b) { return __builtin_fmaf(-s, float(mean[i]), float(dots[i]) * d[b]); });
}

void quantize_blocks(const float* x, int32_t n, int8_t* q, float* d) {
  for (int32_t b = 0; b < n / kBlockCols; ++b) d[b] = quantize_row(x + b * kBlockCols, kBlockCols, q + b * kBlockCols);
}

void spread_blocks(const int8_t* q, int32_t n, int32_t* start, int8_t* octets) {
  for (int32_t b = 0; b < n / kBlockCols; ++b, q += kBlockCols, start += 4) {
    int32_t sum = 0;
    for (int32_t i = 0; i < kBlockCols; ++i) sum += q[i];
    start[0] = start[2] = -8 * sum;
    start[1] = start[3] = 0;
    for (int32_t i = 0; i < kBlockCols; i += 8, octets += 16) {
      __builtin_memcpy(octets, q + i, 8);
      __builtin_memcpy(octets + 8, q + i, 8);
    }
  }
}

void dequantize_row(const int8_t* q, float scale, int32_t n, float* out) {
  for (int32_t i = 0; i < n; ++i) out[i] = scale * float(q[i]);
}

// Block b of a panel as floats [8 rows][32 columns].
using Block = float[kPanelRows][kBlockCols];

void unpack_q4(const uint8_t* panel, int32_t b, int32_t blocks, Block& out) {
  const BlockPlace place = q4_place(b, blocks);
  for (int32_t row = 0; row < kPanelRows; ++row) {
    const float d = half_to_float(read_half(panel + place.d + 2 * row));
    for (int32_t p = 0; p < 2; ++p) {
      const uint8_t* bytes = panel + place.q + 64 * p + 8 * kSlotOfRow[row];
      for (int32_t i = 0; i < 8; ++i) {
        out[row][8 * p + i] = d * float((bytes[i] & 15) - 8);
        out[row][16 + 8 * p + i] = d * float((bytes[i] >> 4) - 8);
      }
    }
  }
}

void unpack_q8(const uint8_t* panel, int32_t b, int32_t blocks, Block& out) {
  const BlockPlace place = q8_place(b, blocks);
  for (int32_t row = 0; row < kPanelRows; ++row) {
    const float d = half_to_float(read_half(panel + place.d + 2 * row));
    for (int32_t p = 0; p < 4; ++p) {
      const uint8_t* bytes = panel + place.q + 64 * p + 8 * kSlotOfRow[row];
      for (int32_t i = 0; i < 8; ++i) out[row][8 * p + i] = d * float(int8_t(bytes[i]));
    }
  }
}

void unpack_f32(const uint8_t* panel, int32_t b, int32_t, Block& out) {
  for (int32_t i = 0; i < kBlockCols; ++i) {
    float column[kPanelRows];
    __builtin_memcpy(column, panel + sizeof column * size_t(b * kBlockCols + i), sizeof column);
    for (int32_t row = 0; row < kPanelRows; ++row) out[row][i] = column[row];
  }
}

using Unpack = void (*)(const uint8_t*, int32_t, int32_t, Block&);

// y = W x in float, for weights of any type: the reference of every approximation.
template <Unpack unpack, WeightType type>
void matvec_unpacked(PanelRange w, Activation a, float* y) {
  const size_t bytes = panel_bytes(type, w.blocks);
  for (int32_t p = w.first; p < w.last; ++p) {
    float acc[kPanelRows] = {};
    for (int32_t b = 0; b < w.blocks; ++b) {
      Block block;
      unpack(w.w + bytes * size_t(p), b, w.blocks, block);
      for (int32_t i = 0; i < kBlockCols; ++i) {
        for (int32_t row = 0; row < kPanelRows; ++row)
          acc[row] = __builtin_fmaf(block[row][i], a.x[b * kBlockCols + i], acc[row]);
      }
    }
    for (int32_t row = 0; row < kPanelRows; ++row) y[p * kPanelRows + row] = acc[row];
  }
}

template <Unpack unpack, WeightType type>
void transposed_unpacked(PanelRange w, const float* x, float* y) {
  const size_t bytes = panel_bytes(type, w.blocks);
  for (int32_t i = 0; i < w.blocks * kBlockCols; ++i) y[i] = 0;
  for (int32_t p = w.first; p < w.last; ++p) {
    for (int32_t b = 0; b < w.blocks; ++b) {
      Block block;
      unpack(w.w + bytes * size_t(p), b, w.blocks, block);
      float* out = y + b * kBlockCols;
      for (int32_t row = 0; row < kPanelRows; ++row) {
        const float s = x[(p - w.first) * kPanelRows + row];
        for (int32_t i = 0; i < kBlockCols; ++i) out[i] = __builtin_fmaf(block[row][i], s, out[i]);
      }
    }
  }
}

template <Unpack unpack, WeightType type>
void row_unpacked(const uint8_t* w, int32_t blocks, int32_t row, int32_t cols, float* out) {
  const uint8_t* panel = w + panel_bytes(type, blocks) * size_t(row / kPanelRows);
  for (int32_t b = 0; b < blocks; ++b) {
    Block block;
    unpack(panel, b, blocks, block);
    for (int32_t i = 0; i < kBlockCols && b * kBlockCols + i < cols; ++i)
      out[b * kBlockCols + i] = block[row % kPanelRows][i];
  }
}
