// The table of every tier that this build contains.
#ifndef PITH_SIMD_TABLES_H
#define PITH_SIMD_TABLES_H

#include "kernels.h"

namespace pith::internal {

extern const Kernels kKernelsScalar;
#ifdef PITH_TIERS_X86
extern const Kernels kKernelsAvx2, kKernelsAvxVnni, kKernelsAvx512;
#endif
#ifdef PITH_TIERS_ARM
extern const Kernels kKernelsNeon, kKernelsNeonDotprod, kKernelsNeonI8mm;
#endif

}  // namespace pith::internal

#endif
