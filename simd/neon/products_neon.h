// Integer products of the NEON tier.
#ifndef PITH_SIMD_NEON_PRODUCTS_NEON_H
#define PITH_SIMD_NEON_PRODUCTS_NEON_H

#include "kernels.h"

namespace pith::internal::neon {

// What round_weights takes off weights, for products of signed bytes to take them.
constexpr uint8_t kWeightOffset = 127;

#include "generic/product_declarations.inc"

}  // namespace pith::internal::neon

#endif
