// Integer products of the AVX-512 tier.
#ifndef PITH_SIMD_AVX512_PRODUCTS_AVX512_H
#define PITH_SIMD_AVX512_PRODUCTS_AVX512_H

#include "kernels.h"

namespace pith::internal::avx512 {

// Weights stay as they are: products take unsigned ones.
constexpr uint8_t kWeightOffset = 0;

#include "generic/product_declarations.inc"

}  // namespace pith::internal::avx512

#endif
