// The table of every tier that this build contains.
#ifndef PITH_SIMD_TABLES_H
#define PITH_SIMD_TABLES_H

#include "kernels.h"

namespace pith {

extern const Kernels kKernelsScalar;
#ifdef PITH_TIER_AVX2
extern const Kernels kKernelsAvx2;
#endif

}  // namespace pith

#endif
