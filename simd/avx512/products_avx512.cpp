#if !defined(__AVX512VNNI__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "compile this file with -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni"
#endif
#include "avx512/products_avx512.h"

#include <immintrin.h>

#include "fragment.h"
#include "generic/columns.h"

namespace pith::internal::avx512 {
namespace {

// Measured on Zen 4 (bench/results/kernels.md): hardware alone keeps up with int8.
constexpr size_t kPrefetchQ4 = 5888, kPrefetchQ8 = 0;

#include "avx2/rows_avx2.inc"

PITH_INLINE __m256i dpbusd(__m256i sum, __m256i u8, __m256i i8) { return _mm256_dpbusd_epi32(sum, u8, i8); }
PITH_INLINE __m512i dpbusd(__m512i sum, __m512i u8, __m512i i8) { return _mm512_dpbusd_epi32(sum, u8, i8); }

// 8 bytes of the activation in every lane.
PITH_INLINE __m512i broadcast_i8x8(const int8_t* p) {
  int64_t bytes;
  __builtin_memcpy(&bytes, p, sizeof bytes);
  return _mm512_set1_epi64(bytes);
}

// Two partial sums of each lane: the register's halves are those that AVX2 joins.
//
//   lanes   0 0 1 1 | 4 4 5 5 | 2 2 3 3 | 6 6 7 7
//   joined  0 1 2 3 | 4 5 6 7
PITH_INLINE Totals join_lanes(__m512i lanes_i32x16) {
  return join_lanes(_mm512_castsi512_si256(lanes_i32x16), _mm512_extracti64x4_epi64(lanes_i32x16, 1));
}

// What the two partial sums of all lanes begin with: times 1, or times 16 for an offset of 128.
//
//   start      -8s 0 -8s 0
//   broadcast  -8s 0 -8s 0 | -8s 0 -8s 0 | -8s 0 -8s 0 | -8s 0 -8s 0
PITH_INLINE __m512i load_start(const int32_t* start) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(start)));
}

template <WeightType type, int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const __m512i low_nibbles = _mm512_set1_epi8(15);
  __m512i low[2], high[2];
  PITH_UNROLL
  for (int p = 0; p < 2; ++p) {
    const __m512i w = _mm512_loadu_si512(block + 64 * p);
    low[p] = _mm512_and_si512(w, low_nibbles);
    high[p] = _mm512_and_si512(_mm512_srli_epi16(w, 4), low_nibbles);
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    const int8_t* q = a.q + a.cols * size_t(j);
    // Two chains: a dpbusd takes five cycles.
    const __m512i start = has_minima(type) ? _mm512_setzero_si512() : load_start(a.start + 4 * a.blocks * size_t(j));
    __m512i even = _mm512_dpbusd_epi32(start, low[0], broadcast_i8x8(q));
    __m512i odd = _mm512_dpbusd_epi32(_mm512_setzero_si512(), low[1], broadcast_i8x8(q + 8));
    even = _mm512_dpbusd_epi32(even, high[0], broadcast_i8x8(q + 16));
    odd = _mm512_dpbusd_epi32(odd, high[1], broadcast_i8x8(q + 24));
    total[j] = join_lanes(_mm512_add_epi32(even, odd));
  }
}

// The multiplier takes one unsigned side: q_w + 128, 16 times the offset of q4.
template <int n>
PITH_INLINE void dot_q8(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const __m512i signs = _mm512_set1_epi8(-128);
  __m512i w[4];
  PITH_UNROLL
  for (int p = 0; p < 4; ++p) w[p] = _mm512_xor_si512(_mm512_loadu_si512(block + 64 * p), signs);
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    const int8_t* q = a.q + a.cols * size_t(j);
    const __m512i start = _mm512_slli_epi32(load_start(a.start + 4 * a.blocks * size_t(j)), 4);
    __m512i even = _mm512_dpbusd_epi32(start, w[0], broadcast_i8x8(q));
    __m512i odd = _mm512_dpbusd_epi32(_mm512_setzero_si512(), w[1], broadcast_i8x8(q + 8));
    even = _mm512_dpbusd_epi32(even, w[2], broadcast_i8x8(q + 16));
    odd = _mm512_dpbusd_epi32(odd, w[3], broadcast_i8x8(q + 24));
    total[j] = join_lanes(_mm512_add_epi32(even, odd));
  }
}

constexpr int kStoredColumns = 8, kIntegerColumns = 8;
template <int n>
struct LaneSums {
  __m512i lanes_i32x16[n];
};

template <int n>
PITH_INLINE void add_i8(const uint8_t* block, const int8_t* q, size_t cols, LaneSums<n>* sums) {
  const __m512i signs = _mm512_set1_epi8(-128);
  PITH_UNROLL
  for (size_t p = 0; p < 4; ++p) {
    const __m512i w = _mm512_xor_si512(_mm512_loadu_si512(block + 64 * p), signs);
    PITH_UNROLL
    for (size_t j = 0; j < n; ++j)
      sums->lanes_i32x16[j] = _mm512_dpbusd_epi32(sums->lanes_i32x16[j], w, broadcast_i8x8(q + cols * j + 8 * p));
  }
}

template <int n>
PITH_INLINE void join(const LaneSums<n>& sums, const int32_t (&bias)[n], Totals (&total)[n]) {
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = _mm256_sub_epi32(join_lanes(sums.lanes_i32x16[j]), _mm256_set1_epi32(bias[j]));
}

#include "avx2/head_sums.inc"

#include "avxvnni/steps_vnni.inc"

#include "generic/integer_products.inc"
#include "generic/head_dots.inc"

constexpr int kTilePanels = 4, kTileColumns = 4, kIntegerTileColumns = 8;
// Measured on Zen 5 (bench/results/kernels.md).
constexpr int32_t kUnpackedFrom = 8, kIntegersUnpackedFrom = 16;

using VectorTotals = __m512i;
using VectorRows = __m512;
constexpr int kVectorRows = 16, kVectors = kTilePanels / 2;

#include "generic/single_columns.inc"

PITH_INLINE VectorTotals less(VectorTotals a, int32_t b) { return _mm512_sub_epi32(a, _mm512_set1_epi32(b)); }
PITH_INLINE void store_totals(VectorTotals totals, int32_t* out) { _mm512_storeu_si512(out, totals); }
PITH_INLINE VectorRows load_rows(const float* y, size_t) { return _mm512_loadu_ps(y); }
PITH_INLINE void store_rows(VectorRows rows, float* y, size_t) { _mm512_storeu_ps(y, rows); }
PITH_INLINE VectorRows accumulate(VectorTotals total, const float* scales, ColumnScales d, VectorRows acc) {
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), _mm512_mul_ps(_mm512_load_ps(scales), _mm512_set1_ps(d)), acc);
}
PITH_INLINE VectorRows add_minima(const float* minima, ColumnScales sum, VectorRows acc) {
  return _mm512_fmadd_ps(_mm512_load_ps(minima), _mm512_set1_ps(sum), acc);
}

#include "avx2/unpack_avx2.inc"

PITH_INLINE VectorTotals load_quads(const UnpackedBlock& block, size_t quad, size_t i) {  // of two panels
  return _mm512_load_si512(block.w[quad][2 * i]);
}
PITH_INLINE VectorTotals broadcast(int32_t number) { return _mm512_set1_epi32(number); }

#include "avxvnni/unpacked_vnni.inc"

#include "generic/unpacked_products.inc"
#include "generic/unpacked_integers.inc"

using Units = __m512i;
using UnitTotals = __m512i;
using UnitNumbers = __m512;
constexpr int kUnit = 4, kUnitLanes = 16, kScoreRows = 8, kSumVectors = 2, kSumHeads = 8;

PITH_INLINE Units load_units(const uint8_t* p) { return _mm512_loadu_si512(p); }
PITH_INLINE UnitTotals zero_totals() { return _mm512_setzero_si512(); }
// Rows plus 128 (units_vnni.inc): 128 times the sum of a lane too much.
PITH_INLINE UnitTotals start_totals(const int32_t* sums) {
  return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(sums), 7));
}

#include "avxvnni/units_vnni.inc"

PITH_INLINE UnitTotals add_products(UnitTotals totals, Units units, const uint8_t* column) {
  int32_t unit;
  __builtin_memcpy(&unit, column, sizeof unit);
  return _mm512_dpbusd_epi32(totals, _mm512_set1_epi32(unit), units);
}
PITH_INLINE UnitNumbers load_numbers(const float* x) { return _mm512_loadu_ps(x); }
PITH_INLINE void store_numbers(UnitNumbers numbers, float* x) { _mm512_storeu_ps(x, numbers); }
PITH_INLINE UnitNumbers add_totals(UnitTotals totals, const float* d, float row_d, UnitNumbers numbers) {
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps(totals), _mm512_mul_ps(_mm512_loadu_ps(d), _mm512_set1_ps(row_d)), numbers);
}
PITH_INLINE UnitNumbers blend_totals(UnitTotals totals, float d, float weight, float keep, UnitNumbers numbers) {
  return _mm512_fmadd_ps(_mm512_set1_ps(weight), _mm512_mul_ps(_mm512_set1_ps(d), _mm512_cvtepi32_ps(totals)),
                         _mm512_mul_ps(_mm512_set1_ps(keep), numbers));
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

}  // namespace pith::internal::avx512
