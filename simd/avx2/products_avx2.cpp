#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx2 -mfma -mf16c"
#endif
#include "avx2/products_avx2.h"

#include <immintrin.h>

#include "unroll.h"

namespace pith::avx2 {
namespace {

// Measured on Zen 4: shorter ones lose up to half of the bandwidth, longer ones of int8 a fifth (bench/results/kernels.md).
constexpr size_t kPrefetchQ4 = 12288, kPrefetchQ8 = 5888;

using Totals = __m256i;
using Rows = __m256;
using Scales = __m256;

struct Columns {
  const int8_t* q;
  const int32_t* sum8;
  size_t cols, blocks;
};

PITH_INLINE Rows zero_rows() { return _mm256_setzero_ps(); }
PITH_INLINE void store_rows(Rows rows, float* y) { _mm256_storeu_ps(y, rows); }
PITH_INLINE Scales load_scales(const uint8_t* halves) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(halves)));
}
PITH_INLINE Rows accumulate(Totals total, Scales scales, float d, Rows acc) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), _mm256_mul_ps(scales, _mm256_set1_ps(d)), acc);
}

PITH_INLINE __m256i load_i8x32(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// 8 bytes of the activation in every 64-bit lane: one row slot each.
PITH_INLINE __m256i broadcast_i8x8(const int8_t* p) {
  int64_t bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return _mm256_set1_epi64x(bytes);
}

// Row slots 0-3 hold rows 0, 1, 4, 5 and slots 4-7 rows 2, 3, 6, 7: the pairwise add of the two delivers 0 .. 7.
PITH_INLINE Totals join_slots(__m256i low_slots_i32x8, __m256i high_slots_i32x8) {
  return _mm256_hadd_epi32(low_slots_i32x8, high_slots_i32x8);
}

// u <= 15 and |q| <= 127, so that one maddubs is at most 3,810 and four of them fit into int16.
template <int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const __m256i low_nibbles = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256i sum[2][n];
  PITH_UNROLL
  for (int half = 0; half < 2; ++half) {
    PITH_UNROLL
    for (int p = 0; p < 2; ++p) {
      const __m256i w = load_i8x32(block + 64 * p + 32 * half);
      const __m256i low = _mm256_and_si256(w, low_nibbles),
                    high = _mm256_and_si256(_mm256_srli_epi16(w, 4), low_nibbles);
      PITH_UNROLL
      for (int j = 0; j < n; ++j) {
        const int8_t* q = a.q + a.cols * size_t(j) + 8 * p;
        const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, broadcast_i8x8(q)),
                                               _mm256_maddubs_epi16(high, broadcast_i8x8(q + 16)));
        sum[half][j] = p == 0 ? pairs : _mm256_add_epi16(sum[half][j], pairs);
      }
    }
    PITH_UNROLL
    for (int j = 0; j < n; ++j) sum[half][j] = _mm256_madd_epi16(sum[half][j], ones);
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j)
    total[j] = _mm256_sub_epi32(join_slots(sum[0][j], sum[1][j]), _mm256_set1_epi32(a.sum8[a.blocks * size_t(j)]));
}

// q_w q = |q_w| (sign(q_w) q): a pair is at most 2 * 127^2 = 32,258 and fits into int16, two do not.
template <int n>
PITH_INLINE void dot_q8(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum[2][n];
  PITH_UNROLL
  for (int half = 0; half < 2; ++half) {
    PITH_UNROLL
    for (int p = 0; p < 4; ++p) {
      const __m256i w = load_i8x32(block + 64 * p + 32 * half), magnitude = _mm256_abs_epi8(w);
      PITH_UNROLL
      for (int j = 0; j < n; ++j) {
        const __m256i q = broadcast_i8x8(a.q + a.cols * size_t(j) + 8 * p);
        const __m256i quads = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, w)), ones);
        sum[half][j] = p == 0 ? quads : _mm256_add_epi32(sum[half][j], quads);
      }
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_slots(sum[0][j], sum[1][j]);
}

#include "generic/integer_products.h"

}  // namespace

void matvec_q4_i8(PanelRange w, Activation a, float* y) { matvec<WeightType::q4>(w, a, y); }
void matvec_q8_i8(PanelRange w, Activation a, float* y) { matvec<WeightType::q8>(w, a, y); }
void matmul_q4_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  matmul<WeightType::q4>(w, a, n, y, y_stride);
}
void matmul_q8_i8(PanelRange w, Activation a, int32_t n, float* y, size_t y_stride) {
  matmul<WeightType::q8>(w, a, n, y, y_stride);
}

}  // namespace pith::avx2
