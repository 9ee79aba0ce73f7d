// The codes that block types of GGUF become, against their weights as floats. (That those are right is shown by another
// program: tests/python/test_gguf_blocks.py.)
#include "gguf_blocks.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "half.h"

using namespace pith::internal;
using namespace pith::quantize;

namespace {

constexpr uint16_t kInfinity = 0x7c00, kNan = 0x7e00, kHalf = 0x3800, kLargest = 0x7bff;

struct StoredType {
  TensorType type;
  std::vector<size_t> halves;  // where fp16 numbers stand in a block
  WeightType packed;
  bool is_exact;  // to the bit; otherwise up to the rounding of scales
};

const std::vector<StoredType>& stored_types() {
  static const std::vector<StoredType> types = {
      {TensorType::q4_0, {0}, WeightType::q4, true},    {TensorType::q8_0, {0}, WeightType::q8, true},
      {TensorType::q5_0, {0}, WeightType::q8, true},    {TensorType::iq4_nl, {0}, WeightType::q8, true},
      {TensorType::q3_k, {108}, WeightType::q8, true},  {TensorType::q4_1, {0, 2}, WeightType::q4m, true},
      {TensorType::iq4_xs, {0}, WeightType::q8, false}, {TensorType::q4_k, {0, 2}, WeightType::q4m, false}};
  return types;
}

void put_half(std::vector<uint8_t>* bytes, size_t at, uint16_t half) { std::memcpy(bytes->data() + at, &half, 2); }

// Any integers, and finite scales of either sign, some of them subnormal or 0, the largest 2^top.
std::vector<uint8_t> random_blocks(std::mt19937* random, const StoredType& of, size_t n, int top) {
  std::vector<uint8_t> bytes(n * block_bytes(of.type));
  for (uint8_t& byte : bytes) byte = uint8_t((*random)());
  for (size_t block = 0; block < n; ++block) {
    for (const size_t at : of.halves) {
      const uint32_t exponent = uint32_t((*random)()) % uint32_t(top + 16), mantissa = (*random)() & 1023u;
      const uint32_t sign = (*random)() & 0x8000u;
      put_half(&bytes, block * block_bytes(of.type) + at,
               uint16_t((*random)() % 16 == 0 ? sign : sign | exponent << 10 | mantissa));
    }
  }
  return bytes;
}

double value_of(const BlockCodes& codes, WeightType type, int i) {
  const double d = double(half_to_float(codes.d)), m = double(half_to_float(codes.m));
  return d * codes.q[i] + (type == WeightType::q4m ? m : 0);
}

int lowest(WeightType type) { return type == WeightType::q8 ? -127 : type == WeightType::q4 ? -8 : 0; }
int highest(WeightType type) { return type == WeightType::q8 ? 127 : type == WeightType::q4 ? 7 : 15; }

// Whether the packed type has no code for one of 32 weights: q = -128, or s q = 128. `step`: what one code is worth.
bool has_no_code(TensorType type, const float* w, double step) {
  if (type != TensorType::q8_0 && type != TensorType::q3_k) return false;
  const double end = type == TensorType::q8_0 ? -128 : 128;
  return step != 0 && std::any_of(w, w + kBlockCols, [=](float v) { return double(v) == end * step; });
}

}  // namespace

TEST_CASE("exact codes stand for the weights") {
  const uint32_t seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed ", seed);
  constexpr size_t kBlocks = 256;
  for (const StoredType& of : stored_types()) {
    CAPTURE(std::string(tensor_type_name(of.type)));
    REQUIRE(exact_type(of.type).has_value());
    CHECK(int(*exact_type(of.type)) == int(of.packed));
    const std::vector<uint8_t> blocks = random_blocks(&random, of, kBlocks, 8);
    const size_t n = kBlocks * block_elements(of.type), per_block = block_elements(of.type) / kBlockCols;
    std::vector<float> w(n);
    dequantize_blocks(of.type, blocks.data(), int64_t(n), w.data());
    size_t different = 0, out_of_range = 0, rounded = 0;
    for (size_t b = 0; b < n / kBlockCols; ++b) {
      const BlockCodes codes = codes_of(of.type, blocks.data(), int32_t(b));
      const size_t scale = b / per_block * block_bytes(of.type) + of.halves[0];
      if (has_no_code(of.type, &w[b * kBlockCols], double(half_to_float(read_half(blocks.data() + scale))))) {
        ++rounded;
        continue;
      }
      for (int i = 0; i < kBlockCols; ++i) {
        out_of_range += codes.q[i] < lowest(of.packed) || codes.q[i] > highest(of.packed);
        const double got = value_of(codes, of.packed, i), expected = double(w[b * kBlockCols + size_t(i)]);
        // Scales are within 2^-11 of their products, and float32 rounds the sum by 2^-24.
        const double parts = std::fabs(double(half_to_float(codes.d)) * codes.q[i]) + std::fabs(half_to_float(codes.m));
        const double bound = of.is_exact ? 0 : parts * (0x1p-11 + 0x1p-20);
        different += of.is_exact ? float(got) != float(expected) : std::fabs(got - expected) > bound;
      }
    }
    CHECK(different == 0);
    CHECK(out_of_range == 0);
    // Of random bytes some are -128; of the other types everything has codes.
    const bool may_lack = of.type == TensorType::q8_0 || of.type == TensorType::q3_k;
    CHECK((rounded > 0) == may_lack);
  }
}

TEST_CASE("products of scales below fp16's normal numbers are not rounded at all") {
  const uint32_t seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed ", seed);
  for (const StoredType& of : stored_types()) {
    if (of.is_exact) continue;
    CAPTURE(std::string(tensor_type_name(of.type)));
    std::vector<uint8_t> block = random_blocks(&random, of, 1, 0);
    for (const size_t at : of.halves) put_half(&block, at, uint16_t(1 + random() % 15));  // times 2^-24
    float w[256];
    dequantize_blocks(of.type, block.data(), 256, w);
    for (int i = 0; i < 256; ++i)
      CHECK(float(value_of(codes_of(of.type, block.data(), i / 32), of.packed, i % 32)) == w[i]);
  }
}

TEST_CASE("where q8 has no code, 32 weights are rounded to a scale that has") {
  const auto check = [](TensorType type, const std::vector<uint8_t>& block, double extreme) {
    CAPTURE(std::string(tensor_type_name(type)));
    std::vector<float> w(block_elements(type));
    dequantize_blocks(type, block.data(), int64_t(w.size()), w.data());
    CHECK(double(w[3]) == extreme);
    const BlockCodes codes = codes_of(type, block.data(), 0);
    const double d = double(half_to_float(codes.d));
    CHECK(d == doctest::Approx(std::fabs(extreme) / 127).epsilon(0x1p-11));
    for (int i = 0; i < kBlockCols; ++i) {
      CHECK(std::abs(int(codes.q[i])) <= 127);
      CHECK(std::fabs(d * codes.q[i] - double(w[size_t(i)])) <= d / 2);
    }
  };
  std::vector<uint8_t> q8_0(34);
  for (size_t i = 0; i < 32; ++i) q8_0[2 + i] = uint8_t(7 * i);
  put_half(&q8_0, 0, kHalf);
  q8_0[2 + 3] = 0x80;
  check(TensorType::q8_0, q8_0, -64);
  std::vector<uint8_t> q3_k(110);  // s = -32, and q = -4 where no bit is set
  for (size_t i = 0; i < 32; ++i) q3_k[32 + i] = i == 3 ? 0 : uint8_t(i % 4);
  put_half(&q3_k, 108, kHalf);
  check(TensorType::q3_k, q3_k, 64);
}

TEST_CASE("scales that fp16 does not hold give an infinite one") {
  const auto d_of = [](TensorType type, std::initializer_list<uint16_t> halves, uint8_t fill) {
    std::vector<uint8_t> block(block_bytes(type), fill);
    size_t at = 0;
    for (const uint16_t half : halves) put_half(&block, std::exchange(at, at + 2), half);
    const BlockCodes codes = codes_of(type, block.data(), 0);
    if (codes.d == kInfinity) CHECK(std::count(codes.q, codes.q + kBlockCols, int8_t(0)) == kBlockCols);
    return codes.d;
  };
  // 0xff: s = 63 and t = 63 in Q4_K, s = 31 in IQ4_XS.
  CHECK(d_of(TensorType::q4_k, {kHalf, kHalf}, 0xff) != kInfinity);
  CHECK(d_of(TensorType::q4_k, {kLargest, kHalf}, 0xff) == kInfinity);
  CHECK(d_of(TensorType::q4_k, {kHalf, kLargest}, 0xff) == kInfinity);
  CHECK(d_of(TensorType::iq4_xs, {kHalf}, 0xff) != kInfinity);
  CHECK(d_of(TensorType::iq4_xs, {kLargest}, 0xff) == kInfinity);
  for (const uint16_t bad : {kInfinity, kNan, uint16_t(0xfc00)}) {
    CHECK(d_of(TensorType::q4_0, {bad}, 1) == kInfinity);
    CHECK(d_of(TensorType::q8_0, {bad}, 0x80) == kInfinity);
    CHECK(d_of(TensorType::q4_1, {kHalf, bad}, 1) == kInfinity);
  }
  CHECK(d_of(TensorType::q4_1, {kHalf, kHalf}, 1) == kHalf);
}

TEST_CASE("types without exact codes, and without weights") {
  for (const TensorType type : {TensorType::f32, TensorType::f16, TensorType::bf16, TensorType::q5_1, TensorType::q2_k,
                                TensorType::q5_k, TensorType::q6_k, TensorType::i8}) {
    CAPTURE(std::string(tensor_type_name(type)));
    CHECK_FALSE(exact_type(type).has_value());
    CHECK(holds_weights(type) == (type != TensorType::i8));
  }
  const uint8_t bytes[32] = {};
  float out[32];
  CHECK_THROWS_WITH(dequantize_blocks(TensorType::i8, bytes, 32, out), "type I8 holds no weights");
}
