// What this CPU has, as one bit per tier.
#ifndef PITH_SIMD_CPU_H
#define PITH_SIMD_CPU_H

namespace pith {

bool cpu_has_avx2();  // AVX2, FMA and F16C, and the operating system saves their registers

}  // namespace pith

#endif
