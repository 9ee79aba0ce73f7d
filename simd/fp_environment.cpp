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

#elif defined(__arm__)

constexpr uint64_t kDefault = 0;  // FPSCR

static void write_control(uint64_t value) { __asm__ volatile("vmsr fpscr, %0" : : "r"(uint32_t(value))); }
static uint64_t read_control() {
  uint32_t fpscr;
  __asm__ volatile("vmrs %0, fpscr" : "=r"(fpscr));
  return fpscr;
}

#elif defined(__riscv)

constexpr uint64_t kDefault = 0;  // FCSR: rounding to nearest; denormals are always kept, and nothing traps

static void write_control(uint64_t value) { __asm__ volatile("fscsr %0" : : "r"(value)); }
static uint64_t read_control() {
  uint64_t fcsr;
  __asm__ volatile("frcsr %0" : "=r"(fcsr));
  return fcsr;
}

#elif defined(__wasm__)  // has no other environment than this

constexpr uint64_t kDefault = 0;

static void write_control(uint64_t) {}
static uint64_t read_control() { return 0; }

#else
#error "say how this processor sets its floating-point control register"
#endif

FpEnvironment::FpEnvironment() : saved_(read_control()) { write_control(kDefault); }
FpEnvironment::~FpEnvironment() { write_control(saved_); }

}  // namespace pith::internal
