// The scalar tier: plain C++ for any CPU, and the oracle of all others.
#include "fragment.h"
#include "scalar/products_scalar.h"
#include "tables.h"

namespace pith::internal::scalar {
namespace {

#include "scalar/lanes_scalar.inc"
#include "scalar/octets_scalar.inc"
#include "generic/float_kernels.inc"
#include "generic/attention_kernels.inc"
#include "generic/quantize_kernels.inc"
#include "generic/transposed_integers.inc"

}  // namespace
}  // namespace pith::internal::scalar

namespace pith::internal {

using namespace scalar;
constexpr Kernels kTable = {
    .name = "scalar",
    .has_octets = false,
#include "generic/table_products.inc"
    .spread_blocks = spread_blocks<false>,
    .matvec_f32_f32 = matvec_unpacked<unpack_f32, WeightType::f32>,
    .transposed_q4 = transposed_unpacked<unpack_q4<WeightType::q4>, WeightType::q4>,
    .transposed_q8 = transposed_unpacked<unpack_q8, WeightType::q8>,
    .transposed_q4m = transposed_unpacked<unpack_q4<WeightType::q4m>, WeightType::q4m>,
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsScalar = kTable;

}  // namespace pith::internal
