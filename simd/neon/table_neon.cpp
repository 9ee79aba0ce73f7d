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
    .matvec_q4_i8 = neon::matvec_q4_i8,
    .matvec_q8_i8 = neon::matvec_q8_i8,
    .matvec_q4m_i8 = neon::matvec_q4m_i8,
    .matmul_q4_i8 = neon::matmul_q4_i8,
    .matmul_q8_i8 = neon::matmul_q8_i8,
    .matmul_q4m_i8 = neon::matmul_q4m_i8,
    .matmul_i8_i32 = neon::matmul_i8_i32,
    .head_dots_i8 = neon::head_dots_i8,
    .spread_blocks = spread_blocks<false>,
    .matvec_f32_f32 = matvec_f32_f32,
    .transposed_q4 = transposed<WeightType::q4>,
    .transposed_q8 = transposed<WeightType::q8>,
    .transposed_q4m = transposed<WeightType::q4m>,
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsNeon = kTable;

}  // namespace pith::internal
