// Numbers of 106 bits, each a sum of two doubles, out of plain IEEE operations: the same bits on every system, which long
// double and the functions of <cmath> do not give.
#ifndef PITH_QUANTIZE_WIDE_DOUBLE_H
#define PITH_QUANTIZE_WIDE_DOUBLE_H

#include <cstdint>

namespace pith::quantize {

// high is the sum, rounded to a double. Magnitudes within 1e-140 .. 1e140: halves of products neither overflow nor vanish.
struct WideDouble {
  double high = 0, low = 0;
};

WideDouble operator*(WideDouble a, WideDouble b);
WideDouble operator/(WideDouble a, WideDouble b);
WideDouble operator-(WideDouble a, WideDouble b);

// base^(-1/n), relative error some 2^-100. base: above 0; n: at least 1.
WideDouble reciprocal_root(double base, int32_t n);

// What is behind the point of x >= 0, rounded to a multiple of 2^-64, as a number of those; 2^64 of them are 0.
uint64_t fixed_fraction(WideDouble x);

}  // namespace pith::quantize

#endif
