// Integer products of the NEON i8mm tier.
#ifndef PITH_SIMD_NEON_I8MM_PRODUCTS_NEON_I8MM_H
#define PITH_SIMD_NEON_I8MM_PRODUCTS_NEON_I8MM_H

#include "kernels.h"

namespace pith::internal::neon_i8mm {

// What round_weights takes off weights, for products of signed bytes to take them.
constexpr uint8_t kWeightOffset = 127;

#include "generic/product_declarations.inc"

}  // namespace pith::internal::neon_i8mm

#endif
