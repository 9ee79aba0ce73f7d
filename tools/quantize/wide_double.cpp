#include "wide_double.h"

#include <cmath>
#include <initializer_list>

namespace pith::quantize {
namespace {

// a + b without an error. |a| >= |b|, or a is 0.
WideDouble ordered_sum(double a, double b) {
  const double sum = a + b;
  return {sum, b - (sum - a)};
}

// Likewise, in any order: Knuth's.
WideDouble exact_sum(double a, double b) {
  const double sum = a + b, of_b = sum - a;
  return {sum, (a - (sum - of_b)) + (b - of_b)};
}

// The upper 26 bits: Veltkamp's.
double upper(double a) {
  const double scaled = 0x1p27 * a + a;
  return scaled - (scaled - a);
}

// a b without an error: Dekker's, which needs no fused multiplication.
WideDouble exact_product(double a, double b) {
  const double product = a * b, a1 = upper(a), a2 = a - a1, b1 = upper(b), b2 = b - b1;
  return {product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2};
}

WideDouble power(WideDouble base, int32_t n) {
  WideDouble out{1};
  for (; n > 0; n /= 2) {
    if (n % 2 != 0) out = out * base;
    base = base * base;
  }
  return out;
}

}  // namespace

WideDouble operator*(WideDouble a, WideDouble b) {
  const WideDouble product = exact_product(a.high, b.high);
  return ordered_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

WideDouble operator-(WideDouble a, WideDouble b) {
  const WideDouble high = exact_sum(a.high, -b.high), low = exact_sum(a.low, -b.low);
  const WideDouble sum = ordered_sum(high.high, high.low + low.high);
  return ordered_sum(sum.high, sum.low + low.low);
}

WideDouble operator/(WideDouble a, WideDouble b) {
  const double first = a.high / b.high;
  const WideDouble rest = a - b * WideDouble{first};
  const double second = rest.high / b.high;
  const double third = (rest - b * WideDouble{second}).high / b.high;
  const WideDouble sum = ordered_sum(first, second);
  return ordered_sum(sum.high, sum.low + third);
}

// Newton's steps for x^-n = base, from the system's power, which is right to some 50 bits: each doubles them.
WideDouble reciprocal_root(double base, int32_t n) {
  WideDouble x{std::pow(base, -1.0 / n)};
  for (int step = 0; step < 3; ++step) {
    const WideDouble error = power(x, n) * WideDouble{base} - WideDouble{1};  // n times x's relative error
    x = x - x * error / WideDouble{double(n)};
  }
  return x;
}

uint64_t fixed_fraction(WideDouble x) {
  uint64_t out = 0;
  double rest = 0;
  for (const double part : {x.high, x.low}) {  // every operation is exact
    const double scaled = (part - std::trunc(part)) * 0x1p64, whole = std::floor(scaled);
    out += whole < 0 ? 0 - uint64_t(-whole) : uint64_t(whole);
    rest += scaled - whole;
  }
  return out + uint64_t(std::round(rest));
}

}  // namespace pith::quantize
