// The AVX2 tier: AVX2, FMA and F16C (Haswell, Zen and later).
#include <xsimd/xsimd.hpp>

#include "fragment.h"
#include "avx2/products_avx2.h"
#include "tables.h"

namespace pith::internal::avx2 {
namespace {

using Batch = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;
using Batch8 = Batch;
Batch fused(Batch a, Batch b, Batch c) { return _mm256_fmadd_ps(a, b, c); }
Batch quotient(Batch a, Batch b) { return _mm256_div_ps(a, b); }
Batch minimum(Batch a, Batch b) { return _mm256_min_ps(a, b); }
Batch maximum(Batch a, Batch b) { return _mm256_max_ps(a, b); }

#include "avx2/octets_avx2.inc"
#include "avx2/magnitudes.inc"
#include "avx2/starts.inc"

PITH_INLINE void widen(const int8_t* x, Batch (&part)[2]) {
  PITH_UNROLL
  for (int i = 0; i < 2; ++i) part[i] = widen_bytes(reinterpret_cast<const uint8_t*>(x + 8 * i)).part[0];
}
PITH_INLINE void widen(const int32_t* x, Batch (&part)[2]) {
  PITH_UNROLL
  for (int i = 0; i < 2; ++i)
    part[i] = _mm256_cvtepi32_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + 8 * i)));
}
PITH_INLINE void widen(const uint16_t* x, Batch (&part)[2]) {
  PITH_UNROLL
  for (int i = 0; i < 2; ++i) part[i] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + 8 * i)));
}
PITH_INLINE __m256i bits_of(Batch a) { return _mm256_castps_si256(a); }
PITH_INLINE Batch larger_magnitude(Batch a, Batch b) {
  const __m256i magnitude = _mm256_and_si256(bits_of(a), _mm256_set1_epi32(0x7fffffff));
  return _mm256_castsi256_ps(_mm256_max_epi32(magnitude, bits_of(b)));
}
PITH_INLINE float largest(const Batch (&part)[2]) {
  return largest_of_8(_mm256_max_epi32(bits_of(part[0]), bits_of(part[1])));
}

// Numbers 0 .. 15, by fours:
//
//   parts            0-3   4-7   |  8-11  12-15
//   packs, to int16  0-3   8-11  |  4-7   12-15     each half for itself
//   packs, to int8   0-3   8-11     4-7   12-15
//   kSwapMiddle      0-3   4-7      8-11  12-15
PITH_INLINE void narrow(const Batch (&part)[2], int8_t* q) {
  constexpr int kSwapMiddle = 0xd8;
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(part[0]), _mm256_cvtps_epi32(part[1]));
  const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm_shuffle_epi32(bytes, kSwapMiddle));
}

// Units of 2 int16: rows a and b, then c and d, each number of the second above that of the first.
constexpr int32_t kWeightRows = 2;
PITH_INLINE void narrow_weights(const Batch (&rows)[4], uint8_t* p, size_t stride) {
  PITH_UNROLL
  for (size_t i = 0; i < 2; ++i) {
    const __m256i first = _mm256_cvtps_epi32(rows[2 * i]), second = _mm256_cvtps_epi32(rows[2 * i + 1]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + stride * i),
                        _mm256_or_si256(first, _mm256_slli_epi32(second, 16)));
  }
}

#include "generic/kernels_xsimd.inc"

}  // namespace
}  // namespace pith::internal::avx2

namespace pith::internal {

using namespace avx2;
constexpr Kernels kTable = {
    .name = "avx2",
    .has_octets = false,
#include "generic/table_products.inc"
    .spread_blocks = spread_starts,
#include "generic/table_xsimd.inc"
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsAvx2 = kTable;

}  // namespace pith::internal
