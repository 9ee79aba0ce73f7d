// The NEON dotprod tier: SDOT (Cortex-A55, A76, Neoverse N1, Apple M1 and later).
#include <xsimd/xsimd.hpp>

#include "fragment.h"
#include "neon_dotprod/products_neon_dotprod.h"
#include "tables.h"

namespace pith::internal::neon_dotprod {
namespace {

#include "neon/batch.inc"
#include "generic/kernels_xsimd.inc"

}  // namespace
}  // namespace pith::internal::neon_dotprod

namespace pith::internal {

using namespace neon_dotprod;
constexpr Kernels kTable = {
    .name = "neon_dotprod",
    .has_octets = true,
#include "generic/table_products.inc"
    .spread_blocks = spread_blocks<true>,
#include "generic/table_xsimd.inc"
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsNeonDotprod = kTable;

}  // namespace pith::internal
