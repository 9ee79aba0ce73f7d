// Integer products of the AVX-VNNI tier.
#ifndef PITH_SIMD_AVXVNNI_PRODUCTS_AVXVNNI_H
#define PITH_SIMD_AVXVNNI_PRODUCTS_AVXVNNI_H

#include "kernels.h"

namespace pith::internal::avxvnni {

// Weights stay as they are: products take unsigned ones.
constexpr uint8_t kWeightOffset = 0;

#include "generic/product_declarations.inc"

}  // namespace pith::internal::avxvnni

#endif
