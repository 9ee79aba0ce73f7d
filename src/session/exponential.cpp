#include "session/exponential.h"

#include <cstdint>

namespace pith::internal {

// x = n ln 2 + r, and the Taylor series to r^13 / 13!.
double exp_negative(double x) {
  if (x < -700) return 0;
  const double scaled = x * 1.4426950408889634;
  const int32_t n = int32_t(scaled - 0.5);
  const double r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10;
  double p = 1;
  for (int32_t k = 13; k > 0; --k) p = 1 + p * r / k;
  const uint64_t bits = uint64_t(1023 + n) << 52;
  double power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return p * power;
}

// x = 2^n m with m in sqrt(1/2) .. sqrt(2), and with s = (m - 1) / (m + 1), |s| < 0.172,
// ln m = 2 (s + s^3 / 3 + ... + s^21 / 21).
double ln_above_one(double x) {
  uint64_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  int32_t n = int32_t(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  __builtin_memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++n;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = 0;
  for (int32_t k = 21; k > 0; k -= 2) sum = sum * square + 1.0 / k;
  return n * 0.6931471803691238 + (n * 1.9082149292705877e-10 + 2 * s * sum);
}

}  // namespace pith::internal
