// Products of packed matrices on every usable tier: against float64 within derived bounds, and bit for bit against the
// scalar tier, with inaccessible pages right before and after the data.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "dispatch.h"
#include "half.h"
#include "kernel_testing.h"
#include "quick.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

constexpr double kEps = 0x1p-24;  // unit roundoff of float32

// The kernels of one type of weights.
struct TypeKernels {
  decltype(Kernels::matvec_q4_i8) matvec_i8, matvec_f32;
  decltype(Kernels::transposed_q4) transposed;
  decltype(Kernels::matmul_q4_i8) matmul_i8;  // NULL for f32
  decltype(Kernels::row_q4) row;
};

TypeKernels kernels_of(const Kernels& k, WeightType type) {
  switch (type) {
    case WeightType::q4: return {k.matvec_q4_i8, k.matvec_q4_f32, k.transposed_q4, k.matmul_q4_i8, k.row_q4};
    case WeightType::q8: return {k.matvec_q8_i8, k.matvec_q8_f32, k.transposed_q8, k.matmul_q8_i8, k.row_q8};
    case WeightType::q4m: return {k.matvec_q4m_i8, k.matvec_q4m_f32, k.transposed_q4m, k.matmul_q4m_i8, k.row_q4m};
    case WeightType::f32: break;
  }
  return {k.matvec_f32_f32, k.matvec_f32_f32, k.transposed_f32, nullptr, k.row_f32};
}

// A random packed matrix and what it stands for, element by element from the prose of simd/packed.h.
struct RandomMatrix {
  WeightType type;
  int32_t rows, cols, blocks;
  Guarded<uint8_t> bytes;
  std::vector<double> exact;  // [rows, cols]

  // The scale of an element's row in its block, of integers.
  double scale(int32_t row, int32_t col) {
    const int32_t b = col / 32, per_super = type == WeightType::q8 ? 2 : 4, first = b / per_super * per_super;
    const size_t n = size_t(std::min(per_super, blocks - first)), block_bytes = type == WeightType::q8 ? 256 : 128;
    const size_t halves = type == WeightType::q4m ? 32 : 16;
    const uint8_t* super =
        bytes.data() + panel_bytes(type, blocks) * size_t(row / 8) + size_t(first) * (block_bytes + halves);
    uint16_t d;
    std::memcpy(&d, super + n * block_bytes + size_t(b - first) * 16 + size_t(2 * (row % 8)), 2);
    return double(half_to_float(d));
  }

  // An element: a number, and the minimum of its block.
  struct Parts {
    double scaled, minimum;
  };

  RandomMatrix(WeightType t, int32_t r, int32_t c, Random* random)
      : type(t), rows(r), cols(c), blocks(int32_t(padded_cols(c) / 32)), bytes(packed_bytes(t, r, c), true) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = uint8_t(random->engine());
    for (int32_t panel = 0; panel < padded_rows(rows) / 8; ++panel)
      set_scales(bytes.data() + panel_bytes(type, blocks) * size_t(panel), random);
    for (int32_t row = 0; row < rows; ++row) {
      for (int32_t col = 0; col < cols; ++col) exact.push_back(element(row, col));
    }
  }

  void set_scales(uint8_t* panel, Random* random) {
    for (int32_t b = 0; b < blocks; ++b) {
      for (int32_t row = 0; row < 8; ++row) {
        const uint16_t d = float_to_half(random->normal() * 0.05f);
        if (type == WeightType::q4) std::memcpy(panel + q4_place(b, blocks).d + 2 * row, &d, 2);
        if (type == WeightType::q8) std::memcpy(panel + q8_place(b, blocks).d + 2 * row, &d, 2);
        if (type == WeightType::q4m) {
          const uint16_t m = float_to_half(random->normal() * 0.5f);
          std::memcpy(panel + q4m_place(b, blocks).d + 2 * row, &d, 2);
          std::memcpy(panel + q4m_place(b, blocks).m + 2 * row, &m, 2);
        }
        for (int32_t i = 0; i < 32 && type == WeightType::f32; ++i) {
          const float w = random->normal();
          std::memcpy(panel + 4 * ((b * 32 + i) * 8 + row), &w, 4);
        }
      }
      for (int32_t i = 0; i < 256 && type == WeightType::q8; ++i) {
        uint8_t& byte = panel[q8_place(b, blocks).q + size_t(i)];
        if (byte == 0x80) byte = 0x81;  // -128 does not occur
      }
    }
  }

  // As the float kernels have it: a sum of two parts is rounded to float.
  double element(int32_t row, int32_t col) {
    const Parts p = parts(row, col);
    return type == WeightType::q4m ? double(float(p.scaled + p.minimum)) : p.scaled;
  }

  Parts parts(int32_t row, int32_t col) {
    const uint8_t* panel = bytes.data() + panel_bytes(type, blocks) * size_t(row / 8);
    const int32_t lanes[] = {0, 1, 4, 5, 2, 3, 6, 7}, lane = lanes[row % 8], b = col / 32, i = col % 32;
    if (type == WeightType::f32) {
      float w;
      std::memcpy(&w, panel + 4 * (col * 8 + row % 8), 4);
      return {double(w), 0};
    }
    const bool is_q8 = type == WeightType::q8;
    const int32_t group = is_q8 ? 2 : 4, first = b / group * group, n = std::min(group, blocks - first);
    const size_t block_bytes = is_q8 ? 256 : 128, half_bytes = type == WeightType::q4m ? 32 : 16;
    const uint8_t* super = panel + size_t(first) * (block_bytes + half_bytes);
    uint16_t d, m = 0;
    const uint8_t* halves = super + size_t(n) * block_bytes + size_t(b - first) * 16 + 2 * (row % 8);
    std::memcpy(&d, halves, 2);
    if (type == WeightType::q4m) std::memcpy(&m, halves + n * 16, 2);
    const uint8_t* codes = super + size_t(b - first) * block_bytes;
    if (is_q8) return {double(half_to_float(d)) * int8_t(codes[64 * (i / 8) + 8 * lane + i % 8]), 0};
    const uint8_t byte = codes[64 * (i % 16 / 8) + 8 * lane + i % 8];
    const int u = i < 16 ? byte & 15 : byte >> 4;
    if (type == WeightType::q4m) return {double(half_to_float(d)) * u, double(half_to_float(m))};
    return {double(half_to_float(d)) * (u - 8), 0};
  }
};

}  // namespace

TEST_CASE("matrix-vector products, all layouts and shapes") {
  Random random;
  CAPTURE(random.seed);
  const WeightType types[] = {WeightType::f32, WeightType::q8, WeightType::q4, WeightType::q4m};
  for (const WeightType type : types) {
    for (const int32_t cols : {8, 32, 33, 64, 96, 128, 160, 192, 256, 320}) {
      for (const int32_t rows : {1, 7, 8, 9, 40}) {
        CAPTURE(int(type));
        CAPTURE(rows);
        CAPTURE(cols);
        RandomMatrix w(type, rows, cols, &random);
        const int32_t padded = w.blocks * 32, panels = int32_t(padded_rows(rows) / 8);
        Guarded<float> x(size_t(padded), true), d(size_t(w.blocks), true), row(size_t(cols), true);
        Guarded<int8_t> q(size_t(padded), true);
        Guarded<int8_t> octets(size_t(2 * padded), true);
        Guarded<int32_t> start(size_t(4 * w.blocks), true);
        Guarded<float> sums(size_t(w.blocks), true);
        random.fill(&x);
        for (int32_t i = cols; i < padded; ++i) x[size_t(i)] = 0;
        scalar().quantize_blocks(x.data(), padded, q.data(), d.data());
        for_each_tier([&](const Kernels& k) {
          CAPTURE(std::string(k.name));
          k.spread_blocks(q.data(), d.data(), padded, start.data(), octets.data(), sums.data());
          const auto product = [&](const Kernels& kernels, bool is_integer, float* y) {
            const PanelRange range{w.bytes.data(), w.blocks, 0, panels};
            const Activation a{x.data(), q.data(), d.data(), start.data(), octets.data(), sums.data()};
            const TypeKernels of_type = kernels_of(kernels, type);
            (is_integer ? of_type.matvec_i8 : of_type.matvec_f32)(range, a, y);
          };
          for (const bool is_integer : {false, true}) {
            CAPTURE(is_integer);
            Guarded<float> y(size_t(panels * 8), true), y0(size_t(panels * 8), true);
            product(k, is_integer, y.data());
            product(scalar(), is_integer, y0.data());
            CHECK(std::memcmp(y.data(), y0.data(), size_t(panels) * 32) == 0);
            for (int32_t r = 0; r < rows; ++r) {
              double exact = 0, magnitude = 0;
              for (int32_t c = 0; c < cols; ++c) {
                const bool rounded = is_integer && type != WeightType::f32;
                const double v = rounded ? double(d[size_t(c / 32)]) * q[size_t(c)] : double(x[size_t(c)]);
                const RandomMatrix::Parts p = w.parts(r, c);
                exact += (p.scaled + p.minimum) * v;
                magnitude += (std::fabs(p.scaled) + std::fabs(p.minimum)) * std::fabs(v);
              }
              // Integer: a product of scales, or a column's sum, is rounded once, and then every fma rounds: one a
              // block, with minima two. Float: one per column, and a weight that is a sum of two parts.
              const double roundings = is_integer && type != WeightType::f32 ? 2 * w.blocks + 2 : padded + 1;
              CHECK(std::fabs(double(y[size_t(r)]) - exact) <= roundings * kEps * magnitude + 1e-37);
            }
          }
          // Rows and the transposed product.
          bool is_exact = true;
          for (int32_t r = 0; r < rows; ++r) {
            kernels_of(k, type).row(w.bytes.data(), w.blocks, r, cols, row.data());
            for (int32_t c = 0; c < cols; ++c)
              is_exact = is_exact && double(row[size_t(c)]) == w.exact[size_t(r * cols + c)];
          }
          CHECK(is_exact);
          Guarded<float> t(size_t(padded), true), in(size_t(panels * 8), true);
          random.fill(&in);
          Guarded<float> t0(size_t(padded), true);
          kernels_of(k, type).transposed({w.bytes.data(), w.blocks, 0, panels}, in.data(), t.data());
          kernels_of(scalar(), type).transposed({w.bytes.data(), w.blocks, 0, panels}, in.data(), t0.data());
          CHECK(std::memcmp(t.data(), t0.data(), size_t(padded) * 4) == 0);
          for (int32_t c = 0; c < cols; ++c) {
            double exact = 0, magnitude = 0;
            for (int32_t r = 0; r < panels * 8; ++r) {
              const double term = w.element(r, c) * double(in[size_t(r)]);
              exact += term;
              magnitude += std::fabs(term);
            }
            CHECK(std::fabs(double(t[size_t(c)]) - exact) <= panels * 8 * kEps * magnitude + 1e-37);
          }
        });
      }
    }
  }
}

// Numbers times the scales of their rows are rounded to 127 steps of the largest of a run: half a step of error for each,
// times its integer weight; what else is rounded is small beside it.
TEST_CASE("transposed products with rounded numbers, on every tier") {
  Random random;
  CAPTURE(random.seed);
  constexpr int32_t kRun = 256;
  for (const WeightType type : {WeightType::q8, WeightType::q4, WeightType::q4m}) {
    for (const int32_t cols : {32, 96, 160, 512}) {
      for (const int32_t rows : {8, 24, 64, 128, 256, 264, 520}) {
        if (is_quick() && rows * cols > 264 * 96) continue;
        CAPTURE(int(type));
        CAPTURE(rows);
        CAPTURE(cols);
        RandomMatrix w(type, rows, cols, &random);
        Guarded<float> x(size_t(rows), true), y0(size_t(cols), true);
        random.fill(&x);
        if (rows == 24) x[3] = 0;
        const PanelRange range{w.bytes.data(), w.blocks, 0, rows / 8};
        const auto product = [&](const Kernels& k, float* y) {
          const auto kernel = type == WeightType::q8   ? k.transposed_q8_i8
                              : type == WeightType::q4 ? k.transposed_q4_i8
                                                       : k.transposed_q4m_i8;
          kernel(range, x.data(), y);
        };
        product(scalar(), y0.data());
        for_each_tier([&](const Kernels& k) {
          Guarded<float> y(size_t(cols), true);
          product(k, y.data());
          CHECK(std::memcmp(y.data(), y0.data(), size_t(cols) * 4) == 0);
        });
        for (int32_t c = 0; c < cols; ++c) {
          double exact = 0, bound = 0;
          for (int32_t first = 0; first < rows; first += kRun) {
            double largest = 0, weights = 0;
            for (int32_t r = first; r < std::min(first + kRun, rows); ++r) {
              const RandomMatrix::Parts p = w.parts(r, c);
              const double d = w.scale(r, c), term = (p.scaled + p.minimum) * double(x[size_t(r)]);
              largest = std::max(largest, std::fabs(d * double(x[size_t(r)])));
              if (d != 0) weights += std::fabs(p.scaled / d);
              exact += term;
              bound += (rows + 8) * kEps * (std::fabs(term) + std::fabs(p.minimum * double(x[size_t(r)])));
            }
            bound += 1.001 * weights * largest / 127 / 2;
          }
          CHECK(std::fabs(double(y0[size_t(c)]) - exact) <= bound + 1e-37);
        }
      }
    }
  }
}

namespace {

// n columns times a random range of panels, of min_panels and more, column by column against the scalar tier's matrix-vector
// product.
void check_columns(WeightType type, int32_t blocks, int32_t n, int32_t min_panels, Random* random) {
  CAPTURE(int(type));
  CAPTURE(blocks);
  CAPTURE(n);
  const int32_t panels = min_panels + int32_t(random->below(uint64_t(12 - min_panels)));
  const int32_t first = int32_t(random->below(uint64_t(panels - min_panels + 1))), cols = blocks * 32;
  CAPTURE(panels);
  CAPTURE(first);
  const size_t stride = size_t(panels * 8) + random->below(5);
  RandomMatrix w(type, panels * 8, cols, random);
  Guarded<float> x(size_t(n * cols), true), d(size_t(n * blocks), true);
  Guarded<int8_t> q(size_t(n * cols), true);
  Guarded<int8_t> octets(size_t(2 * n * cols), true);
  Guarded<int32_t> start(size_t(4 * n * blocks), true);
  Guarded<float> sums(size_t(n * blocks), true);
  random->fill(&x);
  scalar().quantize_blocks(x.data(), n * cols, q.data(), d.data());
  const PanelRange range{w.bytes.data(), blocks, first, panels};
  for_each_tier([&](const Kernels& k) {
    CAPTURE(std::string(k.name));
    k.spread_blocks(q.data(), d.data(), n * cols, start.data(), octets.data(), sums.data());
    const size_t size = stride * size_t(n - 1) + size_t(panels * 8);
    Guarded<float> y(size, true), expected(size, true);
    for (size_t i = 0; i < size; ++i) y[i] = expected[i] = -1;  // what lies between and before stays
    const Activation columns{nullptr, q.data(), d.data(), start.data(), octets.data(), sums.data()};
    kernels_of(k, type).matmul_i8(range, columns, n, y.data(), stride);
    for (int32_t j = 0; j < n; ++j) {
      const Activation column{nullptr,
                              q.data() + j * cols,
                              d.data() + j * blocks,
                              start.data() + 4 * j * blocks,
                              octets.data() + 2 * j * cols,
                              sums.data() + j * blocks};
      kernels_of(scalar(), type).matvec_i8(range, column, expected.data() + stride * size_t(j));
    }
    CHECK(std::memcmp(y.data(), expected.data(), size * 4) == 0);
  });
}

}  // namespace

TEST_CASE("matrix-matrix products are the matrix-vector product of every column") {
  Random random;
  CAPTURE(random.seed);
  Share share;
  const auto check = [&](WeightType type, int32_t blocks, int32_t n, int32_t min_panels) {
    if (!share.leaves_out()) check_columns(type, blocks, n, min_panels, &random);
  };
  for (const WeightType type : {WeightType::q8, WeightType::q4, WeightType::q4m}) {
    for (const int32_t blocks : {1, 2, 3, 4, 5, 7, 8}) {
      for (int32_t n = 1; n <= 20; ++n) check(type, blocks, n, 1);
      for (const int32_t n : {31, 33, 64, 67}) check(type, blocks, n, 1);
    }
    // As many blocks as are unpacked at once, and more; a tile of panels, and one after it.
    for (const int32_t blocks : {22, 23, 24, 44, 45, 49, 73, 74, 75, 88, 89, 90, 99, 100, 199}) {
      for (const int32_t n : {5, 15}) check(type, blocks, n, 5);
    }
  }
}

TEST_CASE("integer matrix products are exact") {
  Random random;
  CAPTURE(random.seed);
  Share share;
  for (const int32_t blocks : {1, 2, 3, 4, 5, 13, 25, 90, 99, 100}) {
    for (const int32_t n :
         {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 31, 33, 64, 67, 128}) {
      if (blocks > 5 && n != 5 && n != 17 && n != 31) continue;  // many blocks, by all ways but not by all numbers
      if (share.leaves_out()) continue;
      const int32_t panels = int32_t(1 + random.below(13)), cols = blocks * 32;
      const size_t stride = size_t(panels * 8) + random.below(5);
      constexpr int32_t kUntouched = 0x5a5a5a5a;
      Guarded<uint8_t> w(size_t(panels * blocks * 256), true);
      Guarded<int8_t> q(size_t(n * cols), true);
      Guarded<int32_t> out(stride * size_t(n - 1) + size_t(panels * 8), true);
      // All values at the ends of the range in every third case.
      const bool is_extreme = random.below(3) == 0;
      const auto value = [&] {
        return int8_t(is_extreme ? (random.below(2) == 0 ? 127 : -127) : int(random.below(255)) - 127);
      };
      for (size_t i = 0; i < w.size(); ++i) w[i] = uint8_t(value());
      for (size_t i = 0; i < q.size(); ++i) q[i] = value();
      for_each_tier([&](const Kernels& k) {
        CAPTURE(std::string(k.name));
        for (size_t i = 0; i < out.size(); ++i) out[i] = kUntouched;
        k.matmul_i8_i32(w.data(), blocks, panels, q.data(), n, out.data(), stride);
        bool good = true;
        const int32_t lanes[] = {0, 1, 4, 5, 2, 3, 6, 7};
        for (int32_t j = 0; j < n; ++j) {
          for (int32_t row = 0; row < panels * 8; ++row) {
            int64_t exact = 0;
            for (int32_t c = 0; c < cols; ++c) {
              const int32_t at = (row / 8 * blocks + c / 32) * 256 + c % 32 / 8 * 64 + lanes[row % 8] * 8 + c % 8;
              exact += int64_t(int8_t(w[size_t(at)])) * q[size_t(j * cols + c)];
            }
            good = good && out[stride * size_t(j) + size_t(row)] == exact;
          }
          for (size_t i = size_t(panels * 8); i < stride && j + 1 < n; ++i)
            good = good && out[stride * size_t(j) + i] == kUntouched;
        }
        CHECK(good);
      });
    }
  }
}

TEST_CASE("integer dots at the ends of their range do not saturate") {
  constexpr int32_t kColumns = 67, kPanels = 5, kBlocks = 4, kCols = 32 * kBlocks;
  for_each_tier([&](const Kernels& k) {
    CAPTURE(std::string(k.name));
    for (const int sign : {1, -1}) {
      std::vector<int8_t> q(kColumns * kCols, int8_t(127 * sign));
      std::vector<float> d(kColumns * kBlocks, 1.0f), y(kColumns * kPanels * 8);
      std::vector<int8_t> octets(2 * q.size());
      std::vector<int32_t> start(4 * d.size());
      std::vector<float> sums(d.size());
      k.spread_blocks(q.data(), d.data(), int32_t(q.size()), start.data(), octets.data(), sums.data());
      CHECK(start[0] == -8 * 32 * 127 * sign);
      const Activation a{nullptr, q.data(), d.data(), start.data(), octets.data(), sums.data()};
      const uint16_t one = float_to_half(1);
      // A matrix all of whose weights are `weight`, times one column and many.
      const auto check = [&](WeightType type, uint8_t code, int weight) {
        const size_t bytes = panel_bytes(type, kBlocks);
        std::vector<uint8_t> w(bytes * kPanels, code);
        for (size_t panel = 0; panel < w.size(); panel += bytes) {
          for (int32_t b = 0; b < kBlocks; ++b) {
            const BlockPlace place = place_of(type, b, kBlocks);
            for (size_t row = 0; row < 8; ++row) {
              std::memcpy(w.data() + panel + place.d + 2 * row, &one, 2);
              if (has_minima(type)) std::memcpy(w.data() + panel + place.m + 2 * row, &one, 2);
            }
          }
        }
        for (const int32_t n : {1, kColumns}) {
          CAPTURE(n);
          std::fill(y.begin(), y.end(), 0.0f);
          const PanelRange range{w.data(), kBlocks, 0, kPanels};
          if (n == 1) kernels_of(k, type).matvec_i8(range, a, y.data());
          else kernels_of(k, type).matmul_i8(range, a, n, y.data(), kPanels * 8);
          const float expected = float(weight * 127 * sign * kCols);
          const auto is_expected = [=](float value) { return value == expected; };
          CHECK(std::all_of(y.begin(), y.begin() + n * kPanels * 8, is_expected));
        }
      };
      for (const int code : {0, 15}) check(WeightType::q4, uint8_t(code | code << 4), code - 8);
      for (const int code : {-127, 127}) check(WeightType::q8, uint8_t(code), code);
      for (const int code : {0, 15}) check(WeightType::q4m, uint8_t(code | code << 4), code + 1);
    }
  });
}
