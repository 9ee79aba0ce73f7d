// Quantisation and the packed layouts, element by element.
#include "quantizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "dispatch.h"
#include "opened_file.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::quantize;
using namespace pith::test;

namespace {

constexpr uint32_t kSeed = 20250311;
using Values = float[kBlockCols];

std::vector<float> random_matrix(std::mt19937* random, int64_t rows, int64_t cols) {
  std::normal_distribution<float> normal(0, 0.05f);
  std::vector<float> w(size_t(rows * cols));
  for (float& v : w) v = normal(*random);
  return w;
}

std::vector<uint8_t> packed(WeightType type, const std::vector<float>& w, int64_t rows, int64_t cols) {
  std::vector<uint8_t> out(packed_bytes(type, rows, cols), 0xa5);
  REQUIRE(pack_matrix(type, w.data(), rows, cols, out.data()));
  return out;
}

BlockCodes quantized(WeightType type, const Values& x) {
  return type == WeightType::q4 ? quantize_q4(x) : type == WeightType::q8 ? quantize_q8(x) : quantize_q4m(x);
}

// What the block that holds (row, col) stands for at that element.
float expected_element(WeightType type, const std::vector<float>& w, int64_t rows, int64_t cols, int64_t row,
                       int64_t col) {
  Values x = {};
  const int64_t first = col / 32 * 32;
  for (int64_t i = 0; i < 32 && row < rows && first + i < cols; ++i) x[i] = w[size_t(row * cols + first + i)];
  if (type == WeightType::f32) return x[col % 32];
  const BlockCodes codes = quantized(type, x);
  return half_to_float(codes.d) * float(codes.q[col % 32]) + half_to_float(codes.m);
}

// Blocks of several kinds: normal, flat, one outlier, one sign, tiny, and so small that fp16 scales are subnormal.
void random_block(std::mt19937* random, int kind, Values* x) {
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(-1, 1);
  const float scale = kind == 4 ? 1e-4f : kind == 5 ? std::exp2(-10 - 12 * std::fabs(uniform(*random))) : 1;
  for (float& v : *x) v = scale * (kind == 1 ? uniform(*random) : normal(*random));
  if (kind == 2) (*x)[7] *= 20;
  if (kind == 3)
    for (float& v : *x) v = std::fabs(v);
}

double squared_error(const Values& x, double d, const int8_t* q, double m = 0) {
  double total = 0;
  for (int i = 0; i < kBlockCols; ++i) total += (double(x[i]) - d * q[i] - m) * (double(x[i]) - d * q[i] - m);
  return total;
}

// Rounding at the fp16 scale that maps the largest element to `end`.
double plain_error(const Values& x, float end) {
  const float extreme =
      *std::max_element(x, x + kBlockCols, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  const double d = double(half_to_float(float_to_half(extreme / end)));
  int8_t q[kBlockCols] = {};
  for (int i = 0; i < kBlockCols && d != 0; ++i) q[i] = int8_t(std::clamp(std::nearbyint(double(x[i]) / d), -8.0, 7.0));
  return squared_error(x, d, q);
}

// Rounding at the fp16 minimum and scale that map the range to 0..15.
double plain_range_error(const Values& x) {
  const auto [low, high] = std::minmax_element(x, x + kBlockCols);
  const double d = double(half_to_float(float_to_half(float((double(*high) - double(*low)) / 15))));
  const double m = double(half_to_float(float_to_half(*low)));
  int8_t q[kBlockCols] = {};
  for (int i = 0; i < kBlockCols && d != 0; ++i)
    q[i] = int8_t(std::clamp(std::nearbyint((double(x[i]) - m) / d), 0.0, 15.0));
  return squared_error(x, d, q, m);
}

// Of either sign, between 2^-14 and 2^most: a normal fp16.
uint16_t random_half(std::mt19937* random, double most) {
  const double magnitude = std::exp2(std::uniform_real_distribution<double>(-14, most)(*random));
  return float_to_half(float((*random)() % 2 == 0 ? magnitude : -magnitude));
}

}  // namespace

TEST_CASE("every element of a packed matrix lies where the layout says, padding is zero") {
  std::mt19937 random(kSeed);
  INFO("seed ", kSeed);
  const int64_t shapes[][2] = {{1, 1}, {8, 32}, {9, 33}, {5, 64}, {16, 96}, {24, 130}, {17, 160}, {3, 288}};
  for (const auto& shape : shapes) {
    const int64_t rows = shape[0], cols = shape[1];  // clang 14 captures no structured bindings
    const std::vector<float> w = random_matrix(&random, rows, cols);
    for (const WeightType type : {WeightType::f32, WeightType::q8, WeightType::q4, WeightType::q4m}) {
      CAPTURE(rows);
      CAPTURE(cols);
      CAPTURE(int(type));
      const std::vector<uint8_t> bytes = packed(type, w, rows, cols);
      int wrong = 0;
      for (int64_t row = 0; row < padded_rows(rows); ++row)
        for (int64_t col = 0; col < padded_cols(cols); ++col)
          wrong +=
              packed_element(type, bytes.data(), row, col, cols) != expected_element(type, w, rows, cols, row, col);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("every tier reads back what was packed") {
  std::mt19937 random(kSeed);
  const int64_t rows = 19, cols = 200;
  const std::vector<float> w = random_matrix(&random, rows, cols);
  const int32_t blocks = int32_t(padded_cols(cols) / kBlockCols);
  for (size_t t = 0; t < tier_count(); ++t) {
    if (!tier_at(t).usable) continue;
    const Kernels& k = *tier_at(t).kernels;
    CAPTURE(k.name);
    for (const WeightType type : {WeightType::f32, WeightType::q8, WeightType::q4, WeightType::q4m}) {
      const std::vector<uint8_t> bytes = packed(type, w, rows, cols);
      const auto read = type == WeightType::f32  ? k.row_f32
                        : type == WeightType::q8 ? k.row_q8
                        : type == WeightType::q4 ? k.row_q4
                                                 : k.row_q4m;
      int wrong = 0;
      for (int32_t row = 0; row < rows; ++row) {
        std::vector<float> out(size_t(cols), -1.0f);
        read(bytes.data(), blocks, row, int32_t(cols), out.data());
        for (int64_t col = 0; col < cols; ++col)
          wrong += out[size_t(col)] != packed_element(type, bytes.data(), row, col, cols);
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("q4 is never worse than scaling by the largest element, and better on the whole") {
  std::mt19937 random(kSeed);
  INFO("seed ", kSeed);
  double found = 0, plain = 0;
  for (int n = 0; n < 3000; ++n) {
    Values x;
    random_block(&random, n % 6, &x);
    const BlockCodes codes = quantize_q4(x);
    CHECK(*std::min_element(codes.q, codes.q + kBlockCols) >= -8);
    CHECK(*std::max_element(codes.q, codes.q + kBlockCols) <= 7);
    const double error = squared_error(x, double(half_to_float(codes.d)), codes.q);
    const double best_plain = std::min({plain_error(x, -8), plain_error(x, 7), plain_error(x, -7)});
    CHECK(error <= best_plain * (1 + 1e-12));  // both sums are in double, in another order
    if (n % 6 == 0) {
      found += error;
      plain += best_plain;
    }
  }
  CHECK(found < plain);
}

TEST_CASE("q4m is never worse than rounding the range, and better on the whole and than q4") {
  const uint32_t seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed ", seed);
  double found = 0, plain = 0, without = 0;
  for (int n = 0; n < 3000; ++n) {
    Values x;
    random_block(&random, n % 6, &x);
    if (n % 7 == 0)
      for (float& v : x) v += 100;  // far from zero: the minimum's rounding is coarser than a step
    const BlockCodes codes = quantize_q4m(x);
    CHECK(*std::min_element(codes.q, codes.q + kBlockCols) >= 0);
    CHECK(*std::max_element(codes.q, codes.q + kBlockCols) <= 15);
    const double error = squared_error(x, double(half_to_float(codes.d)), codes.q, double(half_to_float(codes.m)));
    const double plain_error = plain_range_error(x);
    CHECK(error <= plain_error * (1 + 1e-12));
    if (n % 6 != 0 || n % 7 == 0) continue;
    const BlockCodes q4 = quantize_q4(x);
    found += error;
    plain += plain_error;
    without += squared_error(x, double(half_to_float(q4.d)), q4.q);
  }
  MESSAGE("squared error of normal blocks: q4m ", found / plain, " of plain rounding, ", found / without, " of q4");
  CHECK(found < plain);
  CHECK(found < without);
}

TEST_CASE("q4m keeps values that are d u + m") {
  const uint32_t seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed ", seed);
  int n_short = 0;
  for (int n = 0; n < 5000; ++n) {
    // Scales of either sign; minima within 2^11 steps, so that float32 holds their sums.
    const float d = half_to_float(random_half(&random, 0)), m = d * float(int(random() % 2048)) - 100 * d;
    const float minimum = n % 3 == 0 ? half_to_float(float_to_half(m)) : half_to_float(float_to_half(-7.3f * d));
    const bool is_whole = n % 4 == 0;
    const int low = is_whole ? 0 : int(random() % 8), span = is_whole ? 15 : 1 + int(random() % unsigned(15 - low));
    Values x;
    int used = 0;
    for (float& v : x) {
      const int u = low + int(random() % unsigned(span + 1));
      used |= 1 << u;
      v = d * float(u) + minimum;
      REQUIRE(double(v) == double(d) * u + double(minimum));
    }
    n_short += (used & 1) == 0 || (used >> 15) == 0;
    const BlockCodes codes = quantize_q4m(x);
    for (int i = 0; i < kBlockCols; ++i)
      REQUIRE(half_to_float(codes.d) * float(codes.q[i]) + half_to_float(codes.m) == x[i]);
  }
  MESSAGE(n_short, " of 5000 blocks do not use the whole range");
}

TEST_CASE("packed codes are stored to the bit, also a range of rows at a time") {
  const uint32_t seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed ", seed);
  constexpr int64_t kRows = 29, kCols = 200, kBlocks = 7;
  for (const WeightType type : {WeightType::q8, WeightType::q4, WeightType::q4m}) {
    CAPTURE(int(type));
    std::vector<BlockCodes> codes(size_t(kRows * kBlocks));
    for (BlockCodes& block : codes) {
      block.d = random_half(&random, 2);
      block.m = type == WeightType::q4m ? random_half(&random, 2) : uint16_t(0);
      for (int8_t& q : block.q)
        q = type == WeightType::q8 ? int8_t(int(random() % 255) - 127)
                                   : int8_t(int(random() % 16) - (type == WeightType::q4 ? 8 : 0));
    }
    const CodesOf codes_of = [&](int64_t row, int32_t b) { return codes[size_t(row * kBlocks + b)]; };
    std::vector<uint8_t> whole(packed_bytes(type, kRows, kCols), 0xa5), parts = whole;
    REQUIRE(pack_codes(type, 0, kRows, kCols, codes_of, whole.data()));
    int wrong = 0;
    for (int64_t row = 0; row < padded_rows(kRows); ++row) {
      for (int64_t col = 0; col < padded_cols(kCols); ++col) {
        float expected = 0;
        if (row < kRows) {
          const BlockCodes& block = codes[size_t(row * kBlocks + col / 32)];
          expected = half_to_float(block.d) * float(block.q[col % 32]) + half_to_float(block.m);
        }
        wrong += packed_element(type, whole.data(), row, col, kCols) != expected;
      }
    }
    CHECK(wrong == 0);
    for (int64_t first = 0; first < kRows; first += 16) {
      const int64_t last = std::min(first + 16, kRows);
      REQUIRE(pack_codes(type, first, last, kCols, codes_of, parts.data() + packed_bytes(type, first, kCols)));
    }
    CHECK(parts == whole);
    codes[100].d = 0x7c00;  // infinity
    CHECK_FALSE(pack_codes(type, 0, kRows, kCols, codes_of, whole.data()));
    CHECK(pack_codes(type, 16, kRows, kCols, codes_of, whole.data()));  // block 100 is of row 14
    if (type != WeightType::q4m) continue;
    codes[100].d = 0;
    codes[100].m = 0x7e00;  // NaN
    CHECK_FALSE(pack_codes(type, 0, kRows, kCols, codes_of, whole.data()));
  }
}

TEST_CASE("q8 codes stay within 127 and reproduce themselves") {
  std::mt19937 random(kSeed);
  INFO("seed ", kSeed);
  for (int n = 0; n < 6000; ++n) {
    Values x, again;
    random_block(&random, n % 6, &x);
    const BlockCodes codes = quantize_q8(x);
    int top = 0;
    for (const int8_t q : codes.q) top = std::max(top, std::abs(int(q)));
    CHECK(top <= 127);
    if (n % 6 < 4) CHECK(top == 127);  // normal fp16 scales
    for (int i = 0; i < kBlockCols; ++i) again[i] = half_to_float(codes.d) * float(codes.q[i]);
    const BlockCodes second = quantize_q8(again);
    CHECK(second.d == codes.d);
    CHECK(std::equal(codes.q, codes.q + kBlockCols, second.q));
  }
}

TEST_CASE("a block of zeros has the scale 0") {
  const Values zeros = {};
  CHECK(quantize_q4(zeros).d == 0);
  CHECK(quantize_q8(zeros).d == 0);
  for (const int8_t q : quantize_q4(zeros).q) CHECK(q == 0);
  CHECK(quantize_q4m(zeros).d == 0);
  CHECK(quantize_q4m(zeros).m == 0);
}

TEST_CASE("weights beyond fp16 scales are refused") {
  std::vector<float> w(64, 0.5f);
  for (const auto& [type, good, bad] : {std::tuple{WeightType::q4, 4.0e5f, 6.0e5f}, {WeightType::q8, 8.0e6f, 9.0e6f}}) {
    std::vector<uint8_t> out(packed_bytes(type, 2, 32));
    w[40] = good;
    CHECK(pack_matrix(type, w.data(), 2, 32, out.data()));
    w[40] = bad;
    CHECK_FALSE(pack_matrix(type, w.data(), 2, 32, out.data()));
  }
  for (const auto& [good, bad] : {std::pair{9.0e5f, 1.1e6f}, {-6.5e4f, -6.6e4f}}) {  // a range, a minimum
    std::vector<uint8_t> out(packed_bytes(WeightType::q4m, 2, 32));
    w[40] = good;
    CHECK(pack_matrix(WeightType::q4m, w.data(), 2, 32, out.data()));
    w[40] = bad;
    CHECK_FALSE(pack_matrix(WeightType::q4m, w.data(), 2, 32, out.data()));
  }
}

#ifdef _OPENMP
TEST_CASE("the number of threads changes no byte") {
  std::mt19937 random(kSeed);
  const std::vector<float> w = random_matrix(&random, 100, 96);
  const int before = omp_get_max_threads();
  for (const WeightType type : {WeightType::f32, WeightType::q8, WeightType::q4, WeightType::q4m}) {
    omp_set_num_threads(1);
    const std::vector<uint8_t> alone = packed(type, w, 100, 96);
    omp_set_num_threads(5);
    CHECK(packed(type, w, 100, 96) == alone);
  }
  omp_set_num_threads(before);
}
#endif
