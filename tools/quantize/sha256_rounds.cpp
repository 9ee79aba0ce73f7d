#include "sha256_rounds.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace pith::quantize {
namespace {

// 4.2.2: of the cube roots of the first 64 primes, the first 32 bits behind the point.
constexpr uint32_t kRoots[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// Words and lengths are big-endian.
uint32_t word_at(const uint8_t* bytes) {
  return uint32_t(bytes[0]) << 24 | uint32_t(bytes[1]) << 16 | uint32_t(bytes[2]) << 8 | bytes[3];
}

// 4.1.2: three rotations, or two and a shift.
uint32_t turned(uint32_t x, int a, int b, int c) { return std::rotr(x, a) ^ std::rotr(x, b) ^ std::rotr(x, c); }
uint32_t shifted(uint32_t x, int a, int b, int c) { return std::rotr(x, a) ^ std::rotr(x, b) ^ (x >> c); }

}  // namespace

// 6.2.2.
void Sha256Rounds::take_block(const uint8_t* block) {
  uint32_t schedule[64];
  for (size_t t = 0; t < 16; ++t) schedule[t] = word_at(block + 4 * t);
  for (size_t t = 16; t < 64; ++t)
    schedule[t] =
        shifted(schedule[t - 2], 17, 19, 10) + schedule[t - 7] + shifted(schedule[t - 15], 7, 18, 3) + schedule[t - 16];
  auto [a, b, c, d, e, f, g, h] = hash_;
  for (size_t t = 0; t < 64; ++t) {
    const uint32_t first = h + turned(e, 6, 11, 25) + ((e & f) ^ (~e & g)) + kRoots[t] + schedule[t];
    const uint32_t second = turned(a, 2, 13, 22) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const uint32_t last[] = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < hash_.size(); ++i) hash_[i] += last[i];
}

void Sha256Rounds::add(const void* data, size_t bytes) {
  const uint8_t* at = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const size_t filled = n_bytes_ % kBlock, n = std::min(bytes, kBlock - filled);
    if (n == kBlock) {
      take_block(at);
    } else {
      std::memcpy(rest_ + filled, at, n);
      if (filled + n == kBlock) take_block(rest_);
    }
    at += n;
    bytes -= n;
    n_bytes_ += n;
  }
}

// 5.1.1: a bit, zeros, and the length in bits fill the last block.
std::array<uint8_t, 32> Sha256Rounds::digest() {
  constexpr size_t kLength = 8;  // bytes
  const uint64_t bits = 8 * n_bytes_;
  const size_t zeros = (2 * kBlock - kLength - 1 - n_bytes_ % kBlock) % kBlock;
  uint8_t end[1 + kBlock + kLength] = {0x80};
  for (size_t i = 0; i < kLength; ++i) end[1 + zeros + i] = uint8_t(bits >> (56 - 8 * i));
  add(end, 1 + zeros + kLength);
  std::array<uint8_t, 32> out;
  for (size_t i = 0; i < out.size(); ++i) out[i] = uint8_t(hash_[i / 4] >> (24 - 8 * (i % 4)));
  return out;
}

}  // namespace pith::quantize
