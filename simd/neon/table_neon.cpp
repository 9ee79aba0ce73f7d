// The NEON tier: any 64-bit ARM.
#include <xsimd/xsimd.hpp>

#include "fragment.h"
#include "neon/products_neon.h"
#include "tables.h"

namespace pith::internal::neon {
namespace {

#include "neon/batch.inc"
#include "generic/kernels_xsimd.inc"

}  // namespace
}  // namespace pith::internal::neon

namespace pith::internal {

using namespace neon;
constexpr Kernels kTable = {
    .name = "neon",
    .has_octets = false,
#include "generic/table_products.inc"
    .spread_blocks = spread_blocks<false>,
#include "generic/table_xsimd.inc"
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsNeon = kTable;

}  // namespace pith::internal
