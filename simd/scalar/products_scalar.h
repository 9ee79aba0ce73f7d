// Integer products of the scalar tier.
#ifndef PITH_SIMD_SCALAR_PRODUCTS_SCALAR_H
#define PITH_SIMD_SCALAR_PRODUCTS_SCALAR_H

#include "kernels.h"

namespace pith::internal::scalar {

#include "generic/product_declarations.inc"

}  // namespace pith::internal::scalar

#endif
