// Dot products of one block by SDOT, for the tiers that have it. Included in a tier's anonymous namespace, behind neon/rows.h.
// No include guard: one inclusion per tier.

// Both lanes of two lanes. A load each time, where the compiler would load once and copy: copies and zeroes take a vector
// pipe, which is what these loops run out of, and loads do not.
PITH_INLINE int32x4_t load_start(const int32_t* start) {
  int32x4_t value;
  __asm__ volatile("ldr %q0, %1" : "=w"(value) : "m"(*reinterpret_cast<const int32_t(*)[4]>(start)));
  return value;
}

alignas(16) constexpr int32_t kZeros[4] = {};
PITH_INLINE int32x4_t load_zeros() { return load_start(kZeros); }

// u in 0 .. 15 is the same number signed and unsigned.
template <int n>
PITH_INLINE void dot_q4_by_sdot(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const uint8x16_t low_nibbles = vdupq_n_u8(15);
  int32x4_t lanes[n][4];
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint8x16_t w0 = vld1q_u8(block + 16 * i), w1 = vld1q_u8(block + 64 + 16 * i);
    const int8x16_t low0 = vreinterpretq_s8_u8(vandq_u8(w0, low_nibbles));
    const int8x16_t low1 = vreinterpretq_s8_u8(vandq_u8(w1, low_nibbles));
    const int8x16_t high0 = vreinterpretq_s8_u8(vshrq_n_u8(w0, 4)), high1 = vreinterpretq_s8_u8(vshrq_n_u8(w1, 4));
    PITH_UNROLL
    for (int j = 0; j < n; ++j) {
      const int8_t* q = a.octets + 2 * a.cols * size_t(j);
      const int32x4_t low = vdotq_s32(vdotq_s32(load_start(a.start + 4 * a.blocks * size_t(j)), low0, vld1q_s8(q)),
                                      low1, vld1q_s8(q + 16));
      lanes[j][i] = vdotq_s32(vdotq_s32(low, high0, vld1q_s8(q + 32)), high1, vld1q_s8(q + 48));
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_lanes(lanes[j]);
}

template <int n>
PITH_INLINE void dot_q8_by_sdot(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  int32x4_t lanes[n][4];
  PITH_UNROLL
  for (int p = 0; p < 4; ++p) {
    PITH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(block + 64 * p + 16 * i));
      PITH_UNROLL
      for (int j = 0; j < n; ++j) {
        const int8x16_t q = vld1q_s8(a.octets + 2 * a.cols * size_t(j) + 16 * p);
        lanes[j][i] = vdotq_s32(p == 0 ? vdupq_n_s32(0) : lanes[j][i], w, q);
      }
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_lanes(lanes[j]);
}

// 8 of a column for both lanes of a vector, by the load alone: from a load and a copy g++ makes just that.
PITH_INLINE int8x16_t broadcast_i8x8(const int8_t* q) {
  int8x16_t value;
  __asm__("ld1r {%0.2d}, %1" : "=w"(value) : "Q"(*reinterpret_cast<const int8_t(*)[8]>(q)));
  return value;
}

template <int n>
PITH_INLINE void add_i8_by_sdot(const uint8_t* block, const int8_t* q, size_t cols, int32x4_t (&lanes)[n][4]) {
  PITH_UNROLL
  for (size_t p = 0; p < 4; ++p) {
    int8x16_t q_i8x8x2[n];
    PITH_UNROLL
    for (size_t j = 0; j < n; ++j) q_i8x8x2[j] = broadcast_i8x8(q + cols * j + 8 * p);
    PITH_UNROLL
    for (size_t i = 0; i < 4; ++i) {
      const int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(block + 64 * p + 16 * i));
      PITH_UNROLL
      for (size_t j = 0; j < n; ++j) lanes[j][i] = vdotq_s32(lanes[j][i], w, q_i8x8x2[j]);
    }
  }
}

PITH_INLINE HeadSums add_step(const Step& step, const int8_t* q, HeadSums sums) {
  return vdotq_s32(vdotq_s32(sums, step.low, vld1q_s8(q)), step.high, vld1q_s8(q + 16));
}
