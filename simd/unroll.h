// What the compilers need to keep small arrays of vectors in registers.
#ifndef PITH_SIMD_UNROLL_H
#define PITH_SIMD_UNROLL_H

// Before a loop with a constant number of rounds: no loop remains. (clang unrolls these by itself.)
#if defined(__clang__)
#define PITH_UNROLL
#else
#define PITH_UNROLL _Pragma("GCC unroll 16")
#endif

// Before a function that must be part of its caller's loop.
#define PITH_INLINE [[gnu::always_inline]] inline

// Before a function all of whose callees become part of it.
#define PITH_FLAT [[gnu::flatten]]

#endif
