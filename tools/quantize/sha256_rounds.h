// SHA-256 as FIPS 180-4 writes it down, for systems where OpenSSL, which is faster, is not at hand.
#ifndef PITH_QUANTIZE_SHA256_ROUNDS_H
#define PITH_QUANTIZE_SHA256_ROUNDS_H

#include <array>
#include <cstddef>
#include <cstdint>

namespace pith::quantize {

class Sha256Rounds {
 public:
  void add(const void* data, size_t bytes);
  std::array<uint8_t, 32> digest();  // of all that was added; once, at the end

 private:
  static constexpr size_t kBlock = 64;  // bytes
  void take_block(const uint8_t* block);

  std::array<uint32_t, 8> hash_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};  // 5.3.3
  uint8_t rest_[kBlock] = {};  // the bytes of the block that is not full yet
  uint64_t n_bytes_ = 0;       // below 2^61
};

}  // namespace pith::quantize

#endif
