// What changes no result: a breath while waiting, a counter, and memory that is asked for or read ahead of its use.
#ifndef PITH_SIMD_HINTS_H
#define PITH_SIMD_HINTS_H

#include <cstddef>
#include <cstdint>

namespace pith::internal {

constexpr size_t kCacheLine = 64;

// Asks for bytes that will be read soon. Beyond the dozen or few dozen lines that may be under way a CPU drops what is
// asked for, or waits until there is room.
static inline void prefetch(const uint8_t* first, size_t bytes) {
  constexpr int kRead = 0, kSecondCache = 2;
  for (size_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(first + at, kRead, kSecondCache);
}

// Reads a byte of every line, so that products which go about these bytes in an order that no hardware guesses find
// them in the cache: a loop as short as this waits for some thirty lines together, a product for one after the other
// (bench/results/attention.md).
static inline void fetch(const uint8_t* first, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kCacheLine)
    static_cast<void>(*static_cast<const volatile uint8_t*>(first + at));
}

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
