// Transposed products of packed int4 and int8 weights over batches of xsimd. A tier includes this file, in its anonymous namespace,
// after naming Batch8, fused(), and
//   Octet                                        float [8]: struct { Batch8 part[8 / Batch8::size]; }
//   void widen_nibbles(const uint8_t* bytes, Octet* low, Octet* high)     u - 8 of 8 bytes
//   Octet widen_bytes(const uint8_t* bytes)                               8 signed bytes
// No include guard: one inclusion per tier.

constexpr size_t kOctetParts = 8 / Batch8::size;

// acc += (d w) s, with the two roundings of a dequantised weight's product.
PITH_INLINE void add_scaled(const Octet& w, Batch8 d, Batch8 s, Octet* acc) {
  PITH_UNROLL
  for (size_t i = 0; i < kOctetParts; ++i) acc->part[i] = fused(d * w.part[i], s, acc->part[i]);
}

PITH_INLINE void store_scaled(const Octet& w, float d, float* out) {
  PITH_UNROLL
  for (size_t i = 0; i < kOctetParts; ++i) (Batch8(d) * w.part[i]).store_unaligned(out + Batch8::size * i);
}

// One block of 32 columns of a panel; the columns' sums stay in registers for its 8 rows.
template <WeightType type>
PITH_INLINE void add_block(const uint8_t* q, const uint8_t* halves, const float* x, float* y) {
  Octet acc[4];
  PITH_UNROLL
  for (size_t i = 0; i < 4; ++i) {
    PITH_UNROLL
    for (size_t j = 0; j < kOctetParts; ++j) acc[i].part[j] = Batch8::load_unaligned(y + 8 * i + Batch8::size * j);
  }
  for (int32_t row = 0; row < kPanelRows; ++row) {
    const Batch8 d(half_to_float(read_half(halves + 2 * row))), s(x[row]);
    const uint8_t* lane = q + 8 * kLaneOfRow[row];
    if constexpr (type == WeightType::q4) {
      PITH_UNROLL
      for (size_t p = 0; p < 2; ++p) {
        Octet low, high;
        widen_nibbles(lane + 64 * p, &low, &high);
        add_scaled(low, d, s, &acc[p]);
        add_scaled(high, d, s, &acc[2 + p]);
      }
    } else {
      PITH_UNROLL
      for (size_t p = 0; p < 4; ++p) add_scaled(widen_bytes(lane + 64 * p), d, s, &acc[p]);
    }
  }
  PITH_UNROLL
  for (size_t i = 0; i < 4; ++i) {
    PITH_UNROLL
    for (size_t j = 0; j < kOctetParts; ++j) acc[i].part[j].store_unaligned(y + 8 * i + Batch8::size * j);
  }
}

template <WeightType type>
void transposed(PanelRange w, const float* x, float* y) {
  const size_t stride = panel_bytes(type, w.blocks);
  for (int32_t i = 0; i < w.blocks * kBlockCols; ++i) y[i] = 0;
  for (int32_t p = w.first; p < w.last; ++p, x += kPanelRows) {
    const uint8_t* panel = w.w + stride * size_t(p);
    for (int32_t b = 0; b < w.blocks; ++b) {
      const BlockPlace place = type == WeightType::q4 ? q4_place(b, w.blocks) : q8_place(b, w.blocks);
      add_block<type>(panel + place.q, panel + place.d, x, y + b * kBlockCols);
    }
  }
}
