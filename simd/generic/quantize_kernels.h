// Quantisation of activations and dequantisation of stored rows: every operation is elementwise, exact or correctly rounded. A tier
// includes this file behind generic/attention_kernels.h, with three more operations of Lanes:
//   larger_magnitudes(a, b): per lane the larger of |a| and b >= 0 as the integers that their bits are; NaN comes out on top
//   largest_lane(a): of 16 such magnitudes the largest, likewise
//   store_i8(a, q): a rounded to the nearest integers, halves to even, as int8; |a| < 127.5
// and with Octet, widen_nibbles and widen_bytes, as generic/transposed_xsimd.h says, and
//   store_scaled(a, d, out): d a, of 8 floats
// No include guard: one inclusion per tier, in its anonymous namespace.

// q = round(inverse x), x ~= scale q.
struct RowScale {
  float inverse, scale;
};

// Of a row with this largest magnitude. inverse 0: all q are 0, and scale is 0 or not finite.
PITH_INLINE RowScale row_scale(float magnitude) {
  const float inverse = 127.0f / magnitude;
  const bool usable = inverse < 3.4e38f && inverse > 0;          // false for 0, denormals below 4e-37, infinity and NaN
  if (!usable) return {0, magnitude < 1.0f ? 0.0f : magnitude};  // NaN and infinity pass through
  return {inverse, magnitude / 127.0f};
}

PITH_INLINE float clear_row(RowScale row, int32_t n, int8_t* q) {
  for (int32_t i = 0; i < n; ++i) q[i] = 0;
  return row.scale;
}

// A row of 16 n_lanes numbers, which stay in registers between the search of the largest magnitude and the rounding.
template <int n_lanes, typename Values>
PITH_INLINE float quantize_short(const Values& values, int8_t* q) {
  Lanes v[n_lanes];
  PITH_UNROLL
  for (int32_t j = 0; j < n_lanes; ++j) v[j] = values.at(kLanes * j);
  Lanes largest = splat(0);
  PITH_UNROLL
  for (int32_t j = 0; j < n_lanes; ++j) largest = larger_magnitudes(v[j], largest);
  const RowScale row = row_scale(largest_lane(largest));
  if (row.inverse == 0) return clear_row(row, kLanes * n_lanes, q);
  const Lanes inverse = splat(row.inverse);
  PITH_UNROLL
  for (int32_t j = 0; j < n_lanes; ++j) store_i8(v[j] * inverse, q + kLanes * j);
  return row.scale;
}

// q = round(127 x / max|x|) for n numbers x: values.at(i) are 16 from number i on, values.tail(i, n) the n < 16 left over and
// zeros. Non-finite ones give a non-finite scale and zeros, so that the logits show it.
template <typename Values>
PITH_INLINE float quantize_values(const Values& values, int32_t n, int8_t* q) {
  switch (n) {
    case kLanes: return quantize_short<1>(values, q);
    case 2 * kLanes: return quantize_short<2>(values, q);
    case 3 * kLanes: return quantize_short<3>(values, q);
    case 4 * kLanes: return quantize_short<4>(values, q);
    default: break;
  }
  const int32_t whole = n / kLanes * kLanes, rest = n - whole;
  Lanes largest = splat(0);
  for (int32_t i = 0; i < whole; i += kLanes) largest = larger_magnitudes(values.at(i), largest);
  if (rest > 0) largest = larger_magnitudes(values.tail(whole, rest), largest);
  const RowScale row = row_scale(largest_lane(largest));
  if (row.inverse == 0) return clear_row(row, n, q);
  const Lanes inverse = splat(row.inverse);
  for (int32_t i = 0; i < whole; i += kLanes) store_i8(values.at(i) * inverse, q + i);
  if (rest > 0) {
    int8_t padded[kLanes];
    store_i8(values.tail(whole, rest) * inverse, padded);
    for (int32_t i = 0; i < rest; ++i) q[whole + i] = padded[i];
  }
  return row.scale;
}

struct PlainValues {
  const float* x;
  PITH_INLINE Lanes at(int32_t i) const { return load(x + i); }
  PITH_INLINE Lanes tail(int32_t i, int32_t n) const { return load_tail(x + i, n); }
};

PITH_FLAT float quantize_row(const float* x, int32_t n, int8_t* q) { return quantize_values(PlainValues{x}, n, q); }

PITH_FLAT void quantize_blocks(const float* x, int32_t n, int8_t* q, float* d) {
  for (int32_t i = 0; i < n; i += kBlockCols, ++d) *d = quantize_short<kBlockCols / kLanes>(PlainValues{x + i}, q + i);
}

struct ProductValues {
  const float* m;
  const int8_t* g;
  PITH_INLINE Lanes at(int32_t i) const { return load(m + i) * load_i8(g + i); }
  PITH_INLINE Lanes tail(int32_t i, int32_t n) const { return load_tail(m + i, n) * load_i8_tail(g + i, n); }
};

PITH_FLAT float quantize_product(const float* m, const int8_t* g, int32_t n, int8_t* q) {
  return quantize_values(ProductValues{m, g}, n, q);
}

struct DotValues {
  const int32_t* dots;
  const float* d;
  PITH_INLINE Lanes at(int32_t i) const { return load_i32(dots + i) * splat(d[i / kBlockCols]); }
  PITH_INLINE Lanes tail(int32_t i, int32_t n) const {
    int32_t padded[kLanes] = {};
    for (int32_t j = 0; j < n; ++j) padded[j] = dots[i + j];
    float x[kLanes];
    store(load_i32(padded) * splat(d[i / kBlockCols]), x);
    return load_tail(x, n);  // what is not finite times 0 is NaN
  }
};

PITH_FLAT float quantize_dots(const int32_t* dots, const float* d, int32_t n, int8_t* q) {
  return quantize_values(DotValues{dots, d}, n, q);
}

template <bool has_octets>
void spread_blocks(const int8_t* q, int32_t n, int32_t* start, int8_t* octets) {
  for (int32_t b = 0; b < n / kBlockCols; ++b, q += kBlockCols, start += 4) {
    int32_t sum = 0;
    for (int32_t i = 0; i < kBlockCols; ++i) sum += q[i];
    start[0] = start[2] = -8 * sum;
    start[1] = start[3] = 0;
    for (int32_t i = 0; i < kBlockCols && has_octets; i += 8, octets += 16) {
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

// A function of its own: inlined, g++ 12 makes AVX-512 code of it that CPUs run rightly and Bochs 2.7, which tests it, does not.
[[gnu::noinline]] void unpack_q4(const uint8_t* panel, int32_t b, int32_t blocks, Block& out) {
  const BlockPlace place = q4_place(b, blocks);
  for (int32_t row = 0; row < kPanelRows; ++row) {
    const float d = half_to_float(read_half(panel + place.d + 2 * row));
    for (int32_t p = 0; p < 2; ++p) {
      const uint8_t* bytes = panel + place.q + 64 * p + 8 * kLaneOfRow[row];
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
      const uint8_t* bytes = panel + place.q + 64 * p + 8 * kLaneOfRow[row];
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

// 32 columns of one row, which q and the scale d belong to.
template <WeightType type>
PITH_INLINE void load_block_row(const uint8_t* q, float d, float* out) {
  PITH_UNROLL
  for (int32_t p = 0; p < 2; ++p) {
    if constexpr (type == WeightType::q4) {
      Octet low, high;
      widen_nibbles(q + 64 * p, &low, &high);
      store_scaled(low, d, out + 8 * p);
      store_scaled(high, d, out + 16 + 8 * p);
    } else {
      store_scaled(widen_bytes(q + 128 * p), d, out + 16 * p);
      store_scaled(widen_bytes(q + 128 * p + 64), d, out + 16 * p + 8);
    }
  }
}

template <WeightType type>
PITH_FLAT void load_row(const uint8_t* w, int32_t blocks, int32_t row, int32_t cols, float* out) {
  const uint8_t* panel = w + panel_bytes(type, blocks) * size_t(row / kPanelRows);
  const int32_t in_panel = row % kPanelRows;
  const auto load_block = [=](int32_t b, float* columns) {
    const BlockPlace place = type == WeightType::q4 ? q4_place(b, blocks) : q8_place(b, blocks);
    const float d = half_to_float(read_half(panel + place.d + 2 * in_panel));
    load_block_row<type>(panel + place.q + 8 * kLaneOfRow[in_panel], d, columns);
  };
  const int32_t whole = cols / kBlockCols, rest = cols % kBlockCols;
  for (int32_t b = 0; b < whole; ++b) load_block(b, out + b * kBlockCols);
  if (rest == 0) return;
  float columns[kBlockCols];
  load_block(whole, columns);
  for (int32_t i = 0; i < rest; ++i) out[whole * kBlockCols + i] = columns[i];
}

void load_row_f32(const uint8_t* w, int32_t blocks, int32_t row, int32_t cols, float* out) {
  const uint8_t* first =
      w + panel_bytes(WeightType::f32, blocks) * size_t(row / kPanelRows) + sizeof(float) * size_t(row % kPanelRows);
  for (int32_t i = 0; i < cols; ++i)
    __builtin_memcpy(out + i, first + sizeof(float) * kPanelRows * size_t(i), sizeof *out);
}
