// The AVX2 tier: AVX2, FMA and F16C (Haswell, Zen and later).
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile this file with -mavx2 -mfma -mf16c"
#endif
#include <xsimd/xsimd.hpp>

#include "avx2/matvec_avx2.h"
#include "half.h"
#include "kernels.h"
#include "tables.h"

namespace pith::avx2 {
namespace {

uint16_t read_half(const uint8_t* bytes) {
  uint16_t h;
  __builtin_memcpy(&h, bytes, sizeof h);
  return h;
}

using Batch = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;

#include "generic/lanes_xsimd.h"
#include "generic/matvec_f32.h"
#include "generic/quantize_kernels.h"
// lanes first
#include "generic/float_kernels.h"

}  // namespace
}  // namespace pith::avx2

namespace pith {

using namespace avx2;
constexpr Kernels kTable = {
    .name = "avx2",
    .matvec_q4_i8 = avx2::matvec_q4_i8,
    .matvec_q8_i8 = avx2::matvec_q8_i8,
#define PITH_TIER_MATVEC_F32 matvec_f32_f32
#include "generic/table.h"
};
PITH_ASSERT_FULL(kTable);
const Kernels kKernelsAvx2 = kTable;

}  // namespace pith
