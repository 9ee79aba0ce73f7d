// The AVX-512 tier: F, BW, DQ, VL and VNNI (Ice Lake, Zen 4 and later).
#include <xsimd/xsimd.hpp>

#include "fragment.h"
#include "avx512/products_avx512.h"
#include "tables.h"

namespace pith::internal::avx512 {
namespace {

using Batch = xsimd::batch<float, xsimd::avx512bw>;
using Batch8 = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;
Batch fused(Batch a, Batch b, Batch c) { return _mm512_fmadd_ps(a, b, c); }
Batch8 fused(Batch8 a, Batch8 b, Batch8 c) { return _mm256_fmadd_ps(a, b, c); }
Batch quotient(Batch a, Batch b) { return _mm512_div_ps(a, b); }
Batch minimum(Batch a, Batch b) { return _mm512_min_ps(a, b); }
Batch maximum(Batch a, Batch b) { return _mm512_max_ps(a, b); }

PITH_INLINE void widen(const int8_t* x, Batch (&part)[1]) {
  part[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
}
PITH_INLINE void widen(const int32_t* x, Batch (&part)[1]) { part[0] = _mm512_cvtepi32_ps(_mm512_loadu_si512(x)); }
PITH_INLINE void widen(const uint16_t* x, Batch (&part)[1]) {
  part[0] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
}
PITH_INLINE __m512i bits_of(Batch a) { return _mm512_castps_si512(a); }
PITH_INLINE Batch larger_magnitude(Batch a, Batch b) {
  const __m512i magnitude = _mm512_and_si512(bits_of(a), _mm512_set1_epi32(0x7fffffff));
  return _mm512_castsi512_ps(_mm512_max_epi32(magnitude, bits_of(b)));
}
PITH_INLINE void narrow(const Batch (&part)[1], int8_t* q) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(part[0])));
}

// Numbers 0 .. 15 of rows a, b, c and d, a quarter of each in a part:
//
//   packs, to int16    a0-3 b0-3 | ..    and    c0-3 d0-3 | ..
//   packus, to uint8   a0-3 b0-3 c0-3 d0-3 | ..
//   pshufb             a0 b0 c0 d0  a1 .. d3 | ..
constexpr int32_t kWeightRows = 1;
PITH_INLINE void narrow_weights(const Batch (&rows)[4], uint8_t* p, size_t) {
  const __m512i low = _mm512_packs_epi32(_mm512_cvtps_epi32(rows[0]), _mm512_cvtps_epi32(rows[1]));
  const __m512i high = _mm512_packs_epi32(_mm512_cvtps_epi32(rows[2]), _mm512_cvtps_epi32(rows[3]));
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  _mm512_storeu_si512(p, _mm512_shuffle_epi8(_mm512_packus_epi16(low, high), order));
}

#include "avx2/octets_avx2.inc"
#include "avx2/magnitudes.inc"
#include "avx2/starts.inc"

// Of 8 after the maximum of the register's halves, as on AVX2.
PITH_INLINE float largest(const Batch (&part)[1]) {
  return largest_of_8(
      _mm256_max_epi32(_mm512_castsi512_si256(bits_of(part[0])), _mm512_extracti64x4_epi64(bits_of(part[0]), 1)));
}

#include "generic/kernels_xsimd.inc"

}  // namespace
}  // namespace pith::internal::avx512

namespace pith::internal {

using namespace avx512;
constexpr Kernels kTable = {
    .name = "avx512",
    .has_octets = false,
#include "generic/table_products.inc"
    .spread_blocks = spread_starts,
#include "generic/table_xsimd.inc"
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsAvx512 = kTable;

}  // namespace pith::internal
