// Instructions that C++ has no word for and that change no result: a breath while waiting, and a counter.
#ifndef PITH_SIMD_HINTS_H
#define PITH_SIMD_HINTS_H

#include <cstdint>

namespace pith::internal {

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // `yield` does nothing on most cores; isb waits some tens of cycles
#elif defined(__arm__)
  asm volatile("yield" ::: "memory");
#elif defined(__riscv)
  asm volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::: "memory");  // pause: a hint, nothing on cores without it
#endif
}

// A counter of constant rate, whose unit does not matter; 0 where there is none.
inline uint64_t read_ticks() {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t ticks;
  asm volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return 0;
#endif
}

}  // namespace pith::internal

#endif
