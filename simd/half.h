// fp16 <-> float32 in integer arithmetic, as hardware converts: exact one way, to nearest even the other.
#ifndef PITH_SIMD_HALF_H
#define PITH_SIMD_HALF_H

#include <cstdint>
#include <cstring>

namespace pith::internal {

static inline float half_to_float(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
  uint32_t bits;
  if (exponent == 31) {
    bits = sign | 0x7f800000u | (mantissa << 13);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);  // 112 = 127 - 15, the difference of the biases
  } else {
    const float subnormal = float(mantissa) * 0x1p-24f;  // exact
    std::memcpy(&bits, &subnormal, 4);
    bits |= sign;
  }
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

// The fp16 at any address.
static inline uint16_t read_half(const uint8_t* bytes) {
  uint16_t h;
  std::memcpy(&h, bytes, sizeof h);
  return h;
}

static inline float bf16_to_float(uint16_t h) {
  const uint32_t bits = uint32_t(h) << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

static inline uint16_t float_to_half(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u | ((magnitude >> 13) & 0x1ffu));  // NaN
  if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // from 65,520 on: infinity
  // Below 2^-14: subnormal. Adding 0.5 aligns the last bit with 2^-24, rounding to even.
  if (magnitude < 0x38800000u) {
    float a;
    std::memcpy(&a, &magnitude, 4);
    a += 0.5f;
    std::memcpy(&bits, &a, 4);
    return uint16_t(sign | (bits - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);  // half to even at bit 13
  return uint16_t(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace pith::internal

#endif
