// What this CPU has, as one bit per tier.
#ifndef PITH_SIMD_CPU_H
#define PITH_SIMD_CPU_H

namespace pith::internal {

// The instructions, and an operating system that saves their registers.
bool cpu_has_avx2();     // AVX2, FMA, F16C
bool cpu_has_avxvnni();  // AVX-VNNI, and those of AVX2
bool cpu_has_avx512();   // F, BW, DQ, VL, VNNI, and those of AVX2

// 64-bit ARM.
bool cpu_has_dotprod();
bool cpu_has_i8mm();  // and dotprod

}  // namespace pith::internal

#endif
