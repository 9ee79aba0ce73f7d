// The 8 rows of a panel in two registers. A NEON tier includes this file in its anonymous namespace, before its dot products.
// No include guard: one inclusion per tier.

constexpr size_t kPrefetchQ4 = 2048, kPrefetchQ8 = 2048;  // not measured
constexpr int kOctets = kBlockCols / 8, kRowPairs = kPanelRows / 2;

struct Totals {
  int32x4_t rows0123, rows4567;
};
struct Rows {
  float32x4_t rows0123, rows4567;
};
using Scales = Rows;

struct Columns {
  const int8_t* q;
  const int32_t* start;
  const int8_t* octets;
  size_t cols, blocks;
};

PITH_INLINE void store_totals(const Totals& totals, int32_t* out) {
  vst1q_s32(out, totals.rows0123);
  vst1q_s32(out + 4, totals.rows4567);
}

PITH_INLINE Rows zero_rows() { return {vdupq_n_f32(0), vdupq_n_f32(0)}; }

PITH_INLINE void store_rows(Rows rows, float* y) {
  vst1q_f32(y, rows.rows0123);
  vst1q_f32(y + 4, rows.rows4567);
}

PITH_INLINE Scales load_scales(const uint8_t* halves) {
  const float16x8_t d = vreinterpretq_f16_u8(vld1q_u8(halves));
  return {vcvt_f32_f16(vget_low_f16(d)), vcvt_high_f32_f16(d)};
}

PITH_INLINE Rows accumulate(const Totals& total, const Scales& scales, float d, const Rows& acc) {
  return {vfmaq_f32(acc.rows0123, vcvtq_f32_s32(total.rows0123), vmulq_n_f32(scales.rows0123, d)),
          vfmaq_f32(acc.rows4567, vcvtq_f32_s32(total.rows4567), vmulq_n_f32(scales.rows4567, d))};
}

// lanes[i]: two partial sums of lane 2 i, then two of lane 2 i + 1. Lanes hold rows 0, 1, 4, 5, 2, 3, 6, 7: pairwise adds
// of lanes 0, 1 with 4, 5, and of 2, 3 with 6, 7, deliver natural order.
PITH_INLINE Totals join_lanes(const int32x4_t (&lanes)[4]) {
  return {vpaddq_s32(lanes[0], lanes[2]), vpaddq_s32(lanes[1], lanes[3])};
}

PITH_INLINE Totals add_start(const Totals& total, const int32_t* start) {
  const int32x4_t offset = vld1q_dup_s32(start);
  return {vaddq_s32(total.rows0123, offset), vaddq_s32(total.rows4567, offset)};
}

// 32 bytes of a row of grouped attention; sums of the dots of four heads.
struct Step {
  int8x16_t low, high;
};
using HeadSums = int32x4_t;
using Heads = int32x4_t;
constexpr bool kIsBiased = false;

PITH_INLINE Step load_step(const int8_t* row) { return {vld1q_s8(row), vld1q_s8(row + 16)}; }
PITH_INLINE HeadSums zero_sums() { return vdupq_n_s32(0); }
PITH_INLINE Heads load_heads(const int32_t* x) { return vld1q_s32(x); }
PITH_INLINE void store_heads(Heads heads, int32_t* out) { vst1q_s32(out, heads); }
PITH_INLINE Heads subtract_heads(Heads a, Heads b) { return vsubq_s32(a, b); }
PITH_INLINE Heads join_heads(const HeadSums (&sums)[4]) {
  return vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
}
