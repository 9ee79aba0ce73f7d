// Hashes of bytes that grow at either end: of a part of a token from the hashes of the rest. Polynomials over a prime.
#ifndef PITH_TEXT_BYTE_HASH_H
#define PITH_TEXT_BYTE_HASH_H

#include <cstdint>
#include <string_view>

namespace pith::internal {

// How far from its place a hash table puts an entry. Tables that are at most half full need some 100 slots with 2^26
// random entries; entries that a file was made to have in one place are refused, for they would cost quadratic time.
constexpr uint32_t kMaxProbes = 256;

inline uint64_t mix(uint64_t x) {  // the finaliser of SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// h = sum of (byte_i + 1) B^(n-1-i) modulo p = 2^61 - 1, of n bytes.
class ByteHash {
 public:
  static constexpr uint64_t kPrime = (uint64_t(1) << 61) - 1;
  static constexpr uint64_t kBase = 0x1b2f6c35d7a94e13ull % kPrime;

  void append(char byte) { value_ = add(times(value_, kBase), uint64_t(uint8_t(byte)) + 1); }
  uint64_t value() const { return value_; }

  static uint64_t of(std::string_view bytes) {
    ByteHash hash;
    for (const char byte : bytes) hash.append(byte);
    return hash.value();
  }
  static uint64_t add(uint64_t a, uint64_t b) { return reduced(a + b); }
  static uint64_t subtract(uint64_t a, uint64_t b) { return reduced(a + kPrime - b); }
  static uint64_t times(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
    __extension__ using Wide = unsigned __int128;
    const Wide product = Wide(a) * b;
    return reduced((uint64_t(product) & kPrime) + uint64_t(product >> 61));
#else
    return times_by_halves(a, b);
#endif
  }
  // The same in 64 bits, for CPUs of 32: a = a1 2^31 + a0, and 2^61 = 1 modulo p.
  static uint64_t times_by_halves(uint64_t a, uint64_t b) {
    constexpr uint64_t kLow31 = (uint64_t(1) << 31) - 1, kLow30 = (uint64_t(1) << 30) - 1;
    const uint64_t a0 = a & kLow31, a1 = a >> 31, b0 = b & kLow31, b1 = b >> 31;
    const uint64_t middle = a1 * b0 + a0 * b1;  // < 2^62; times 2^31
    const uint64_t sum = 2 * a1 * b1 + (middle >> 30) + ((middle & kLow30) << 31) + a0 * b0;  // < 2^64
    return reduced((sum & kPrime) + (sum >> 61));
  }
  static uint64_t power(uint64_t base, uint64_t exponent) {
    uint64_t out = 1;
    for (; exponent > 0; exponent >>= 1, base = times(base, base)) {
      if ((exponent & 1) != 0) out = times(out, base);
    }
    return out;
  }
  // 1 / B: by Fermat.
  static uint64_t inverse_of_base() { return power(kBase, kPrime - 2); }

 private:
  static uint64_t reduced(uint64_t x) { return x >= kPrime ? x - kPrime : x; }  // x < 2 p

  uint64_t value_ = 0;
};

}  // namespace pith::internal

#endif
