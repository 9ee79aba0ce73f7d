#include "cpu.h"

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include "arm_features.h"
#endif

namespace pith::internal {

#if defined(__x86_64__) || defined(__i386__)

namespace {

bool has(uint32_t flags, uint32_t needed) { return (flags & needed) == needed; }

// The registers that the operating system saves (XCR0), by bit.
bool saves(uint32_t registers) {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return has(low, registers);
}

}  // namespace

bool cpu_has_avx2() {
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return false;
  constexpr uint32_t kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
  constexpr uint32_t kXmmYmm = 6;
  if (!has(c, kFma | kOsxsave | kAvx | kF16c) || !saves(kXmmYmm)) return false;
  constexpr uint32_t kAvx2 = 1u << 5;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && has(b, kAvx2);
}

bool cpu_has_avxvnni() {
#ifdef PITH_AVXVNNI_BY_AVX512  // of a build for tests: CMakeLists.txt
  return cpu_has_avx512();
#else
  if (!cpu_has_avx2()) return false;
  constexpr uint32_t kAvxVnni = 1u << 4;
  uint32_t a, b, c, d;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || a < 1) return false;  // a: the last subleaf
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && has(a, kAvxVnni);
#endif
}

bool cpu_has_avx512() {
  constexpr uint32_t kXmmYmmZmm = 0xe6;
  if (!cpu_has_avx2() || !saves(kXmmYmmZmm)) return false;
  uint32_t a, b, c, d;
  constexpr uint32_t kF = 1u << 16, kDq = 1u << 17, kCd = 1u << 28, kBw = 1u << 30, kVl = 1u << 31, kVnni = 1u << 11;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && has(b, kF | kDq | kCd | kBw | kVl) && has(c, kVnni);
}

#elif defined(__aarch64__)

bool cpu_has_dotprod() { return arm_features().dotprod; }
bool cpu_has_i8mm() { return cpu_has_dotprod() && arm_features().i8mm; }

#endif

}  // namespace pith::internal
