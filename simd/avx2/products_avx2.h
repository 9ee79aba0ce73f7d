// Integer products of the AVX2 tier.
#ifndef PITH_SIMD_AVX2_PRODUCTS_AVX2_H
#define PITH_SIMD_AVX2_PRODUCTS_AVX2_H

#include "kernels.h"

namespace pith::internal::avx2 {

// Weights stay as they are: products take unsigned ones.
constexpr uint8_t kWeightOffset = 0;

#include "generic/product_declarations.inc"

}  // namespace pith::internal::avx2

#endif
