#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__) || !(defined(__AVXVNNI__) || defined(__AVX512VNNI__))
#error "compile this file with -mavx2 -mfma -mf16c -mavxvnni"
#endif
#include "avxvnni/products_avxvnni.h"

#include <immintrin.h>

#include "fragment.h"
#include "generic/columns.h"

namespace pith::internal::avxvnni {
namespace {

// As on AVX2; not measured.
constexpr size_t kPrefetchQ4 = 12288, kPrefetchQ8 = 5888;

#include "avx2/rows_avx2.inc"
#include "avx2/panel_lanes.inc"

PITH_INLINE __m256i dpbusd(__m256i sum, __m256i u8, __m256i i8) {
#ifdef __AVXVNNI__
  return _mm256_dpbusd_avx_epi32(sum, u8, i8);
#else  // the same instruction in the encoding of AVX-512, for tests on such a CPU
  return _mm256_dpbusd_epi32(sum, u8, i8);
#endif
}

// What the two partial sums of every lane begin with: times 1, or times 16 for an offset of 128.
//
//   start      -8s 0 -8s 0
//   broadcast  -8s 0 -8s 0 | -8s 0 -8s 0
PITH_INLINE __m256i load_start(const int32_t* start) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(start)));
}

template <WeightType type, int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  __m256i low[4], high[4];  // [p][half]
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const __m256i w = load_i8x32(block + 32 * i);
    low[i] = _mm256_and_si256(w, low_nibbles);
    high[i] = _mm256_and_si256(_mm256_srli_epi16(w, 4), low_nibbles);
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    const int8_t* q = a.q + a.cols * size_t(j);
    const __m256i start = has_minima(type) ? _mm256_setzero_si256() : load_start(a.start + 4 * a.blocks * size_t(j));
    __m256i sum[2];
    PITH_UNROLL
    for (int half = 0; half < 2; ++half) {
      sum[half] = dpbusd(start, low[half], broadcast_i8x8(q));
      sum[half] = dpbusd(sum[half], low[2 + half], broadcast_i8x8(q + 8));
      sum[half] = dpbusd(sum[half], high[half], broadcast_i8x8(q + 16));
      sum[half] = dpbusd(sum[half], high[2 + half], broadcast_i8x8(q + 24));
    }
    total[j] = join_lanes(sum[0], sum[1]);
  }
}

// The multiplier takes one unsigned side: q_w + 128.
PITH_INLINE __m256i load_weights(const uint8_t* p) { return _mm256_xor_si256(load_i8x32(p), _mm256_set1_epi8(-128)); }

PITH_INLINE __m256i add_quads(__m256i sum, __m256i w, __m256i q) { return dpbusd(sum, w, q); }
PITH_INLINE __m256i start_q8(const Columns& a, size_t column) {
  return _mm256_slli_epi32(load_start(a.start + 4 * a.blocks * column), 4);
}

#include "avx2/stored_bytes.inc"

constexpr int kStoredColumns = 8, kIntegerColumns = 4;

template <int n>
PITH_INLINE void join(const LaneSums<n>& sums, const int32_t (&bias)[n], Totals (&total)[n]) {
  PITH_UNROLL
  for (int j = 0; j < n; ++j)
    total[j] =
        _mm256_sub_epi32(join_lanes(sums.halves_i32x8[j][0], sums.halves_i32x8[j][1]), _mm256_set1_epi32(bias[j]));
}

#include "avx2/head_sums.inc"
#include "avxvnni/steps_vnni.inc"
#include "generic/integer_products.inc"
#include "generic/head_dots.inc"

constexpr int kTilePanels = 2, kTileColumns = 4, kIntegerTileColumns = 4;
// As on AVX-512; not measured.
constexpr int32_t kUnpackedFrom = 8, kIntegersUnpackedFrom = 16;

#include "avx2/vector_rows.inc"
#include "avx2/unpack_avx2.inc"

PITH_INLINE VectorTotals load_quads(const UnpackedBlock& block, size_t quad, size_t i) {  // of a panel
  return load_i8x32(block.w[quad][i]);
}
PITH_INLINE VectorTotals broadcast(int32_t number) { return _mm256_set1_epi32(number); }

#include "avxvnni/unpacked_vnni.inc"
#include "generic/unpacked_products.inc"
#include "generic/unpacked_integers.inc"
#include "avx2/unit_lanes.inc"

constexpr int kUnit = 4, kUnitLanes = 8, kScoreRows = 4, kSumVectors = 2, kSumHeads = 4;

#include "avxvnni/units_vnni.inc"

// Rows plus 128 (units_vnni.inc): 128 times the sum of a lane too much.
PITH_INLINE UnitTotals start_totals(const int32_t* sums) {
  const __m256i sum = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums));
  return _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 7));
}
PITH_INLINE UnitTotals add_products(UnitTotals totals, Units units, const uint8_t* column) {
  return dpbusd(totals, broadcast_unit(column), units);
}

#include "generic/quad_products.inc"
#include "avxvnni/row_totals_vnni.inc"
#include "avx2/row_sums.inc"

}  // namespace

#include "generic/product_functions.inc"

void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride) {
  matmul_integer_columns(w, blocks, panels, q, n, out, out_stride);
}

}  // namespace pith::internal::avxvnni
