// The AVX-VNNI tier: AVX2 and the dot products of AVX-VNNI (Alder Lake, Sierra Forest and later).
#include <xsimd/xsimd.hpp>

#include "fragment.h"
#include "avxvnni/products_avxvnni.h"
#include "tables.h"

namespace pith::internal::avxvnni {
namespace {

#include "avx2/batch.inc"

// Numbers 0 .. 7 of rows a, b, c and d, a half of each in a half:
//
//   packs, to int16    a0-3 b0-3 | a4-7 b4-7    and    c0-3 d0-3 | c4-7 d4-7
//   packus, to uint8   a0-3 b0-3 c0-3 d0-3 | a4-7 ..
//   pshufb             a0 b0 c0 d0  a1 .. d3 | a4 ..
constexpr int32_t kWeightRows = 1;
PITH_INLINE void narrow_weights(const Batch (&rows)[4], uint8_t* p, size_t) {
  const __m256i low = _mm256_packs_epi32(_mm256_cvtps_epi32(rows[0]), _mm256_cvtps_epi32(rows[1]));
  const __m256i high = _mm256_packs_epi32(_mm256_cvtps_epi32(rows[2]), _mm256_cvtps_epi32(rows[3]));
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_shuffle_epi8(_mm256_packus_epi16(low, high), order));
}

#include "generic/kernels_xsimd.inc"

}  // namespace
}  // namespace pith::internal::avxvnni

namespace pith::internal {

using namespace avxvnni;
constexpr Kernels kTable = {
    .name = "avxvnni",
    .has_octets = false,
#include "generic/table_products.inc"
    .spread_blocks = spread_starts,
#include "generic/table_xsimd.inc"
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsAvxVnni = kTable;

}  // namespace pith::internal
