#include "neon/products_neon.h"

#include <arm_neon.h>

#include "unroll.h"

namespace pith::neon {
namespace {

#include "neon/rows.h"

// Widening multiplications. u <= 15 and |q| <= 127: a lane adds four products of at most 1,905, and a pair of lanes 15,240.
template <int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
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
      const int8x8_t a0 = vld1_s8(q), a1 = vld1_s8(q + 8), a2 = vld1_s8(q + 16), a3 = vld1_s8(q + 24);
      int16x8_t even = vmull_s8(vget_low_s8(low0), a0), odd = vmull_s8(vget_high_s8(low0), a0);
      even = vmlal_s8(vmlal_s8(even, vget_low_s8(low1), a1), vget_low_s8(high0), a2);
      odd = vmlal_s8(vmlal_s8(odd, vget_high_s8(low1), a1), vget_high_s8(high0), a2);
      even = vmlal_s8(even, vget_low_s8(high1), a3);
      odd = vmlal_s8(odd, vget_high_s8(high1), a3);
      slots[j][i] = vpaddlq_s16(vpaddq_s16(even, odd));
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = add_start(join_slots(slots[j]), a.start + 4 * a.blocks * size_t(j));
}

// A lane adds two products of at most 127^2, 32,258.
template <int n>
PITH_INLINE void dot_q8(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  int32x4_t slots[n][4];
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    int8x16_t w[4];
    PITH_UNROLL
    for (int p = 0; p < 4; ++p) w[p] = vreinterpretq_s8_u8(vld1q_u8(block + 64 * p + 16 * i));
    PITH_UNROLL
    for (int j = 0; j < n; ++j) {
      const int8_t* q = a.q + a.cols * size_t(j);
      int32x4_t even = vdupq_n_s32(0), odd = vdupq_n_s32(0);
      PITH_UNROLL
      for (int p = 0; p < 4; p += 2) {
        const int8x8_t a0 = vld1_s8(q + 8 * p), a1 = vld1_s8(q + 8 * p + 8);
        even = vpadalq_s16(even, vmlal_s8(vmull_s8(vget_low_s8(w[p]), a0), vget_low_s8(w[p + 1]), a1));
        odd = vpadalq_s16(odd, vmlal_s8(vmull_s8(vget_high_s8(w[p]), a0), vget_high_s8(w[p + 1]), a1));
      }
      slots[j][i] = vpaddq_s32(even, odd);
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_slots(slots[j]);
}

constexpr int kStoredColumns = 4, kIntegerColumns = 8;
template <int n>
struct SlotSums {
  Totals total[n];
};

template <int n>
PITH_INLINE void add_i8(const uint8_t* block, const int8_t* q, size_t cols, SlotSums<n>* sums) {
  Totals total[n];
  dot_q8<n>(block, {q, nullptr, nullptr, cols, 0}, total);
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    sums->total[j].rows0123 = vaddq_s32(sums->total[j].rows0123, total[j].rows0123);
    sums->total[j].rows4567 = vaddq_s32(sums->total[j].rows4567, total[j].rows4567);
  }
}

template <int n>
PITH_INLINE void join(const SlotSums<n>& sums, const int32_t (&)[n], Totals (&total)[n]) {
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = sums.total[j];
}

// As dot_q8.
PITH_INLINE int32x4_t add_products(int8x16_t w, int8x16_t q, int32x4_t sums) {
  return vpadalq_s16(sums, vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(q)), w, q));
}
PITH_INLINE HeadSums add_step(const Step& step, const int8_t* q, HeadSums sums) {
  return add_products(step.high, vld1q_s8(q + 16), add_products(step.low, vld1q_s8(q), sums));
}

#include "generic/integer_products.h"
// steps first
#include "generic/head_dots.h"

}  // namespace

void matvec_q4_i8(PanelRange w, Activation a, float* y) { matvec<WeightType::q4>(w, a, y); }
void matvec_q8_i8(PanelRange w, Activation a, float* y) { matvec<WeightType::q8>(w, a, y); }
void matmul_q4_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  matmul<WeightType::q4>(w, a, n, y, y_stride);
}
void matmul_q8_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  matmul<WeightType::q8>(w, a, n, y, y_stride);
}
void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride) {
  matmul_integers(w, blocks, panels, q, n, out, out_stride);
}
PITH_FLAT void head_dots_i8(const int8_t* q, int32_t n_heads, int32_t heads_per_kv, int32_t width, GatheredRows rows,
                            int32_t n, int32_t* out, size_t out_stride) {
  dot_gathered(q, n_heads, heads_per_kv, width, rows, n, out, out_stride);
}

}  // namespace pith::neon
