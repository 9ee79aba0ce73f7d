// Sums of four rows and one column in a vector, as unpacked products have them, for the tiers without SMMLA. Included in a tier's
// anonymous namespace, behind neon/rows.h. No include guard: one inclusion per tier.

using VectorTotals = int32x4_t;
using VectorRows = float32x4_t;
constexpr int kVectorRows = 4, kVectors = 2;

#include "generic/single_columns.h"

PITH_INLINE VectorTotals less(VectorTotals a, int32_t b) { return vsubq_s32(a, vdupq_n_s32(b)); }
PITH_INLINE void store_totals(VectorTotals totals, int32_t* out) { vst1q_s32(out, totals); }
PITH_INLINE VectorRows load_rows(const float* y, size_t) { return vld1q_f32(y); }
PITH_INLINE void store_rows(VectorRows rows, float* y, size_t) { vst1q_f32(y, rows); }
PITH_INLINE VectorRows accumulate(VectorTotals total, const float* scales, ColumnScales d, VectorRows acc) {
  return vfmaq_f32(acc, vcvtq_f32_s32(total), vmulq_n_f32(vld1q_f32(scales), d));
}
