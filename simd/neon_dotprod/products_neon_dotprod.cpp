#ifndef __ARM_FEATURE_DOTPROD
#error "compile this file with -march=armv8.2-a+dotprod"
#endif
#include "neon_dotprod/products_neon_dotprod.h"

#include <arm_neon.h>

#include "unroll.h"

namespace pith::neon_dotprod {
namespace {

#include "neon/rows.h"
// rows first
#include "neon_dotprod/dots.h"

template <int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  dot_q4_by_sdot<n>(block, a, total);
}
template <int n>
PITH_INLINE void dot_q8(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  dot_q8_by_sdot<n>(block, a, total);
}

constexpr int kStoredColumns = 4, kIntegerColumns = 4;
template <int n>
struct SlotSums {
  int32x4_t slots[n][4];
};
template <int n>
PITH_INLINE void add_i8(const uint8_t* block, const int8_t* q, size_t cols, SlotSums<n>* sums) {
  add_i8_by_sdot<n>(block, q, cols, sums->slots);
}
template <int n>
PITH_INLINE void join(const SlotSums<n>& sums, const int32_t (&)[n], Totals (&total)[n]) {
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_slots(sums.slots[j]);
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

}  // namespace pith::neon_dotprod
