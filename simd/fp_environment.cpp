#include "fp_environment.h"

namespace pith::internal {

#if defined(__x86_64__) || defined(__i386__)

// MXCSR: every exception masked, rounding to nearest, neither flush-to-zero nor denormals-are-zero.
constexpr uint32_t kDefault = 0x1f80;

static void write_control(uint64_t value) {
  const uint32_t mxcsr = uint32_t(value);
  __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}
static uint64_t read_control() {
  uint32_t mxcsr;
  __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
  return mxcsr;
}

#elif defined(__aarch64__)

constexpr uint64_t kDefault = 0;  // FPCR

static void write_control(uint64_t value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
static uint64_t read_control() {
  uint64_t fpcr;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  return fpcr;
}

#else
#error "say how this processor sets its floating-point control register"
#endif

FpEnvironment::FpEnvironment() : saved_(read_control()) { write_control(kDefault); }
FpEnvironment::~FpEnvironment() { write_control(saved_); }

}  // namespace pith::internal
