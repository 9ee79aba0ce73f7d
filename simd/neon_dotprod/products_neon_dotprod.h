// Integer products of the NEON dotprod tier.
#ifndef PITH_SIMD_NEON_DOTPROD_PRODUCTS_NEON_DOTPROD_H
#define PITH_SIMD_NEON_DOTPROD_PRODUCTS_NEON_DOTPROD_H

#include "kernels.h"

namespace pith::internal::neon_dotprod {

// What round_weights takes off weights, for products of signed bytes to take them.
constexpr uint8_t kWeightOffset = 127;

#include "generic/product_declarations.inc"

}  // namespace pith::internal::neon_dotprod

#endif
