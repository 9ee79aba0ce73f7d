// Dot products of one block by SDOT, for the tiers that have it. Included in a tier's anonymous namespace, behind neon/rows.h.
// No include guard: one inclusion per tier.

// 8 bytes of the activation in both 64-bit lanes: one row slot each.
PITH_INLINE int8x16_t broadcast_i8x8(const int8_t* q) {
  return vreinterpretq_s8_s64(vld1q_dup_s64(reinterpret_cast<const int64_t*>(q)));
}

// u in 0 .. 15 is the same number signed and unsigned.
template <int n>
PITH_INLINE void dot_q4_by_sdot(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const uint8x16_t low_nibbles = vdupq_n_u8(15);
  int32x4_t slots[n][4];
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint8x16_t w0 = vld1q_u8(block + 16 * i), w1 = vld1q_u8(block + 64 + 16 * i);
    const int8x16_t low0 = vreinterpretq_s8_u8(vandq_u8(w0, low_nibbles));
    const int8x16_t low1 = vreinterpretq_s8_u8(vandq_u8(w1, low_nibbles));
    const int8x16_t high0 = vreinterpretq_s8_u8(vshrq_n_u8(w0, 4)), high1 = vreinterpretq_s8_u8(vshrq_n_u8(w1, 4));
    PITH_UNROLL
    for (int j = 0; j < n; ++j) {
      const int8_t* q = a.q + a.cols * size_t(j);
      const int32x4_t low = vdotq_s32(vdotq_s32(vdupq_n_s32(0), low0, broadcast_i8x8(q)), low1, broadcast_i8x8(q + 8));
      slots[j][i] = vdotq_s32(vdotq_s32(low, high0, broadcast_i8x8(q + 16)), high1, broadcast_i8x8(q + 24));
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = subtract(join_slots(slots[j]), a.sum8 + a.blocks * size_t(j));
}

template <int n>
PITH_INLINE void dot_q8_by_sdot(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  int32x4_t slots[n][4];
  PITH_UNROLL
  for (int p = 0; p < 4; ++p) {
    PITH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(block + 64 * p + 16 * i));
      PITH_UNROLL
      for (int j = 0; j < n; ++j) {
        const int8x16_t q = broadcast_i8x8(a.q + a.cols * size_t(j) + 8 * p);
        slots[j][i] = vdotq_s32(p == 0 ? vdupq_n_s32(0) : slots[j][i], w, q);
      }
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_slots(slots[j]);
}
