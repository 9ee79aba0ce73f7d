// Scales of cached numbers as 16 bits: 7 of exponent, 9 of mantissa, no sign; 2^-63 to 2^64 to a relative 2^-10.
//
//   u = exponent << 9 | mantissa      value = 2^(exponent - 63) (1 + mantissa / 512)
//   exponent 127                      infinite, or not a number: what went wrong is still seen
//
// fp16 has one bit of mantissa more and two of exponent fewer: a row of int8 whose largest number is below 4e-6 or
// above 8.3e6 has no scale in it, and how large a model's latents, keys and values are is for its weights to say.
#ifndef PITH_SIMD_WIDE_SCALE_H
#define PITH_SIMD_WIDE_SCALE_H

#include <bit>
#include <cstdint>

namespace pith::internal {

// Between the two, exponents have 8 bits and are 64 higher, so that what is not finite stays so; then a multiplication
// by a power of two, which is exact.
static inline float scale_to_float(uint16_t scale) {
  return std::bit_cast<float>((uint32_t(scale) << 14) + (128u << 23)) * 0x1p-64f;
}

// Nearest, to even. Below 2^-63, and not above 0: the smallest, whose numbers are zeros as far as anyone can tell.
static inline uint16_t float_to_scale(float value) {
  constexpr uint16_t kInfinite = 127u << 9, kNotANumber = kInfinite | 1u;
  if (value != value) return kNotANumber;
  if (value < 0x1p-63f) return 0;
  if (value >= 0x1p64f) return kInfinite;
  const uint32_t bits = std::bit_cast<uint32_t>(value) - (64u << 23);  // at most 127 << 23 and a mantissa
  return uint16_t((bits + 0x1fffu + ((bits >> 14) & 1u)) >> 14);
}

}  // namespace pith::internal

#endif
