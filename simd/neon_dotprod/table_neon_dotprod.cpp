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
    .matvec_q4_i8 = neon_dotprod::matvec_q4_i8,
    .matvec_q8_i8 = neon_dotprod::matvec_q8_i8,
    .matvec_q4m_i8 = neon_dotprod::matvec_q4m_i8,
    .matmul_q4_i8 = neon_dotprod::matmul_q4_i8,
    .matmul_q8_i8 = neon_dotprod::matmul_q8_i8,
    .matmul_q4m_i8 = neon_dotprod::matmul_q4m_i8,
    .matmul_i8_i32 = neon_dotprod::matmul_i8_i32,
    .head_dots_i8 = neon_dotprod::head_dots_i8,
    .spread_blocks = spread_blocks<true>,
    .matvec_f32_f32 = matvec_f32_f32,
    .transposed_q4 = transposed<WeightType::q4>,
    .transposed_q8 = transposed<WeightType::q8>,
    .transposed_q4m = transposed<WeightType::q4m>,
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsNeonDotprod = kTable;

}  // namespace pith::internal
