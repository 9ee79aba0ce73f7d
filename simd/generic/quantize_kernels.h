// Quantisation of activations and dequantisation of stored rows, in plain loops that each tier's flags vectorise: every
// operation is elementwise, exact or correctly rounded. No include guard: one inclusion per tier, in its anonymous namespace.

// Rounds to the nearest integer, halves to even; |x| < 2^22. The classic addition of 1.5 * 2^23.
float nearest_even(float x) { return (x + 12582912.0f) - 12582912.0f; }

// The bits of the largest |x|, or of some NaN; begins with `largest`. Those of non-negative floats order like the floats.
uint32_t max_magnitude(const float* x, int32_t n, uint32_t largest) {
  for (int32_t i = 0; i < n; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x[i], sizeof bits);
    bits &= 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

// q = round(127 x / max|x|) of n numbers which fill(first, n, x) computes 32 at a time, twice each. Non-finite input gives a
// non-finite scale and zeros, so that the logits show it.
template <typename F>
PITH_INLINE float quantize_computed(int32_t n, int8_t* q, const F& fill) {
  float x[kBlockCols];
  uint32_t largest = 0;
  for (int32_t i = 0; i < n; i += kBlockCols) {
    const int32_t m = n - i < kBlockCols ? n - i : kBlockCols;
    fill(i, m, x);
    largest = max_magnitude(x, m, largest);
  }
  float magnitude;
  __builtin_memcpy(&magnitude, &largest, sizeof magnitude);
  const float inverse = 127.0f / magnitude;
  const bool usable = inverse < 3.4e38f && inverse > 0;  // false for 0, denormals below 4e-37, infinity and NaN
  if (!usable) {
    for (int32_t i = 0; i < n; ++i) q[i] = 0;
    return magnitude < 1.0f ? 0.0f : magnitude;  // NaN and infinity pass through
  }
  for (int32_t i = 0; i < n; i += kBlockCols) {
    const int32_t m = n - i < kBlockCols ? n - i : kBlockCols;
    fill(i, m, x);
    for (int32_t j = 0; j < m; ++j) q[i + j] = int8_t(int32_t(nearest_even(x[j] * inverse)));
  }
  return magnitude / 127.0f;
}

float quantize_row(const float* x, int32_t n, int8_t* q) {
  return quantize_computed(n, q, [=](int32_t first, int32_t m, float* out) {
    for (int32_t i = 0; i < m; ++i) out[i] = x[first + i];
  });
}

float quantize_product(const float* m, const int8_t* g, int32_t n, int8_t* q) {
  return quantize_computed(n, q, [=](int32_t first, int32_t count, float* out) {
    for (int32_t i = 0; i < count; ++i) out[i] = m[first + i] * float(g[first + i]);
  });
}

float quantize_dots(const int32_t* dots, const float* d, const int8_t* mean, float s, int32_t n, int8_t* q) {
  return quantize_computed(n, q, [=](int32_t first, int32_t m, float* out) {
    const float scale = d[first / kBlockCols];
    for (int32_t i = 0; i < m; ++i) out[i] = float(dots[first + i]) * scale;
    for (int32_t i = 0; i < m && mean != nullptr; ++i) out[i] = __builtin_fmaf(-s, float(mean[first + i]), out[i]);
  });
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
