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
    .matvec_q4_i8 = neon_i8mm::matvec_q4_i8,
    .matvec_q8_i8 = neon_i8mm::matvec_q8_i8,
    .matvec_q4m_i8 = neon_i8mm::matvec_q4m_i8,
    .matmul_q4_i8 = neon_i8mm::matmul_q4_i8,
    .matmul_q8_i8 = neon_i8mm::matmul_q8_i8,
    .matmul_q4m_i8 = neon_i8mm::matmul_q4m_i8,
    .matmul_i8_i32 = neon_i8mm::matmul_i8_i32,
    .head_dots_i8 = neon_i8mm::head_dots_i8,
    .spread_blocks = spread_blocks<true>,
    .matvec_f32_f32 = matvec_f32_f32,
    .transposed_q4 = transposed<WeightType::q4>,
    .transposed_q8 = transposed<WeightType::q8>,
    .transposed_q4m = transposed<WeightType::q4m>,
#include "generic/table.inc"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsNeonI8mm = kTable;

}  // namespace pith::internal
