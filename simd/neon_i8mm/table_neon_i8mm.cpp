// The NEON i8mm tier: SDOT and SMMLA (Cortex-A510, A710, Neoverse V1, Apple M2 and later).
#include <xsimd/xsimd.hpp>

#include "fragment.h"
#include "neon_i8mm/products_neon_i8mm.h"
#include "tables.h"

namespace pith::internal::neon_i8mm {
namespace {

#include "neon/batch.inc"
#include "generic/kernels_xsimd.inc"

}  // namespace
}  // namespace pith::internal::neon_i8mm

namespace pith::internal {

using namespace neon_i8mm;
constexpr Kernels kTable = {
    .name = "neon_i8mm",
    .has_octets = true,
#include "generic/table_products.inc"
    .spread_blocks = spread_blocks<true>,
#include "generic/table_xsimd.inc"
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsNeonI8mm = kTable;

}  // namespace pith::internal
