// The AVX2 tier: AVX2, FMA and F16C (Haswell, Zen and later).
#include <xsimd/xsimd.hpp>

#include "fragment.h"
#include "avx2/products_avx2.h"
#include "tables.h"

namespace pith::internal::avx2 {
namespace {

#include "avx2/batch.inc"

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
