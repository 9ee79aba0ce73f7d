// Every kernel on every usable tier: against float64 within derived bounds, and bit for bit against the scalar tier, for every
// tail length, at every alignment, with inaccessible pages right before and after the data.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "dispatch.h"
#include "half.h"
#include "kernel_testing.h"
#include "raw_gguf.h"

using namespace pith;
using namespace pith::internal;
using pith::test::Guarded;

namespace {

constexpr double kEps = 0x1p-24;  // unit roundoff of float32

struct Random {
  uint64_t seed = std::random_device{}();
  std::mt19937_64 engine{seed};
  float normal() { return std::normal_distribution<float>()(engine); }
  uint64_t below(uint64_t n) { return engine() % n; }
  void fill(Guarded<float>* out, float spread = 1) {
    for (size_t i = 0; i < out->size(); ++i) (*out)[i] = spread * normal();
  }
};

template <typename F>
void for_each_tier(F f) {
  for (size_t i = 0; i < tier_count(); ++i) {
    if (tier_at(i).usable) f(*tier_at(i).kernels);
  }
}

const Kernels& scalar() { return *choose_tier("scalar"); }

// Lengths 1 .. 70 and both sides.
template <typename F>
void for_each_length(F f) {
  for (int32_t n = 1; n <= 70; ++n) {
    for (const bool at_end : {false, true}) f(n, at_end);
  }
}

double sum_of(int32_t n, const std::function<double(int32_t)>& term) {
  double total = 0;
  for (int32_t i = 0; i < n; ++i) total += term(i);
  return total;
}

// A sum of n products in 16 lanes and a tree of 4 levels: each term passes n / 16 + 1 additions (fma) and 4 of the tree.
double sum_bound(int32_t n, double magnitude) { return (n / 16 + 6) * kEps * magnitude + 1e-37; }

using Map = void (*)(const Kernels&, const float*, const float*, int32_t, float*);

struct MapCase {
  const char* name;
  Map run;
  double (*exact)(double, double);
  double relative, absolute;  // bound: relative * |exact| + absolute
};

const MapCase kMaps[] = {
    {"multiply", [](const Kernels& k, const float* a, const float* b, int32_t n, float* o) { k.multiply(a, b, n, o); },
     [](double a, double b) { return a * b; }, kEps, 1e-44},
    {"add", [](const Kernels& k, const float* a, const float* b, int32_t n, float* o) { k.add(a, b, n, o); },
     [](double a, double b) { return a + b; }, kEps, 1e-44},
    {"shift_scale",
     [](const Kernels& k, const float* a, const float*, int32_t n, float* o) { k.shift_scale(a, 0.5f, 3, n, o); },
     [](double a, double) { return (a - 0.5) * 3; }, 3 * kEps, 1e-44},
    // exp errs by 2 ulp, 1 + e by half, the quotient and the product by half each: 4 ulp of 2^-23.
    {"silu_multiply",
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* o) { k.silu_multiply(a, b, n, o); },
     [](double a, double b) { return a / (1 + std::exp(-a)) * b; }, 16 * kEps, 1e-36},
    {"relu2", [](const Kernels& k, const float* a, const float*, int32_t n, float* o) { k.relu2(a, n, o); },
     [](double a, double) { return a > 0 ? a * a : 0; }, kEps, 1e-44},
    // The exponent 2 y errs by 6 ulp of its size (up to 30 before e^2y vanishes), and e^2y by as much relatively.
    {"gelu_tanh", [](const Kernels& k, const float* a, const float*, int32_t n, float* o) { k.gelu_tanh(a, n, o); },
     [](double a, double) { return 0.5 * a * (1 + std::tanh(0.7978845608028654 * (a + 0.044715 * a * a * a))); }, 1e-5,
     1e-7},
    {"gelu_erf", [](const Kernels& k, const float* a, const float*, int32_t n, float* o) { k.gelu_erf(a, n, o); },
     [](double a, double) { return 0.5 * a * (1 + std::erf(a / 1.4142135623730951)); }, 1e-6, 2e-6},
};

}  // namespace

TEST_CASE("elementwise kernels") {
  Random random;
  CAPTURE(random.seed);
  for_each_tier([&](const Kernels& k) {
    for (const MapCase& c : kMaps) {
      CAPTURE(std::string(k.name));
      CAPTURE(std::string(c.name));
      for_each_length([&](int32_t n, bool at_end) {
        Guarded<float> a(size_t(n), at_end), b(size_t(n), at_end), out(size_t(n), at_end), expected(size_t(n), at_end);
        random.fill(&a, 3);
        random.fill(&b);
        if (n > 3) {
          a[0] = 0;
          a[1] = -0.0f;
          a[2] = 1e-40f;
        }
        c.run(k, a.data(), b.data(), n, out.data());
        c.run(scalar(), a.data(), b.data(), n, expected.data());
        CHECK(std::memcmp(out.data(), expected.data(), size_t(n) * 4) == 0);
        for (int32_t i = 0; i < n; ++i) {
          const double exact = c.exact(double(a[size_t(i)]), double(b[size_t(i)]));
          CHECK(std::fabs(double(out[size_t(i)]) - exact) <= c.relative * std::fabs(exact) + c.absolute);
        }
      });
    }
  });
}

TEST_CASE("sums, dots and norms") {
  Random random;
  CAPTURE(random.seed);
  for_each_tier([&](const Kernels& k) {
    CAPTURE(std::string(k.name));
    for_each_length([&](int32_t n, bool at_end) {
      const size_t size = size_t(n);
      Guarded<float> a(size, at_end), b(size, at_end), out(size, at_end), other(size, at_end);
      random.fill(&a);
      random.fill(&b);
      const auto x = [&](int32_t i) { return double(a[size_t(i)]); };
      const auto y = [&](int32_t i) { return double(b[size_t(i)]); };
      const double products = sum_of(n, [&](int32_t i) { return std::fabs(x(i) * y(i)); });
      CHECK(std::fabs(double(k.dot(a.data(), b.data(), n)) - sum_of(n, [&](int32_t i) { return x(i) * y(i); })) <=
            sum_bound(n, products));
      CHECK(std::fabs(double(k.sum(a.data(), n)) - sum_of(n, x)) <=
            sum_bound(n, sum_of(n, [&](int32_t i) { return std::fabs(x(i)); })));
      const double squares = sum_of(n, [&](int32_t i) { return (x(i) - 0.25) * (x(i) - 0.25); });
      CHECK(std::fabs(double(k.sum_squares(a.data(), 0.25f, n)) - squares) <= sum_bound(n + 48, squares));
      // Norms: the root of the mean errs by half of the sum's relative error; three more roundings.
      const double mean = sum_of(n, x) / n,
                   rms = std::sqrt(sum_of(n, [&](int32_t i) { return x(i) * x(i); }) / n + 1e-6);
      k.rmsnorm(a.data(), b.data(), 1e-6f, n, out.data());
      for (int32_t i = 0; i < n; ++i)
        CHECK(std::fabs(double(out[size_t(i)]) - x(i) / rms * y(i)) <=
              (n / 16 + 12) * kEps * std::fabs(x(i) / rms * y(i)) + 1e-37);
      scalar().rmsnorm(a.data(), b.data(), 1e-6f, n, other.data());
      CHECK(std::memcmp(out.data(), other.data(), size * 4) == 0);
      const double deviation =
          std::sqrt(sum_of(n, [&](int32_t i) { return (x(i) - mean) * (x(i) - mean); }) / n + 1e-6);
      k.layernorm(a.data(), b.data(), b.data(), 1e-6f, n, out.data());
      for (int32_t i = 0; i < n; ++i) {
        const double exact = (x(i) - mean) / deviation * y(i) + y(i);
        CHECK(std::fabs(double(out[size_t(i)]) - exact) <=
              (n / 8 + 30) * kEps * (1 + std::fabs(x(i)) + std::fabs(mean)) / deviation * std::fabs(y(i)) +
                  1e-6 * std::fabs(y(i)));
      }
      scalar().layernorm(a.data(), b.data(), b.data(), 1e-6f, n, other.data());
      CHECK(std::memcmp(out.data(), other.data(), size * 4) == 0);
      const float dots[] = {k.dot(a.data(), b.data(), n), scalar().dot(a.data(), b.data(), n), k.sum(a.data(), n),
                            scalar().sum(a.data(), n)};
      CHECK(std::memcmp(&dots[0], &dots[1], 4) == 0);
      CHECK(std::memcmp(&dots[2], &dots[3], 4) == 0);
      std::memcpy(out.data(), b.data(), size * 4);
      k.axpy(1.5f, a.data(), n, out.data());
      for (int32_t i = 0; i < n; ++i) CHECK(out[size_t(i)] == std::fma(1.5f, a[size_t(i)], b[size_t(i)]));
    });
  });
}

TEST_CASE("exp") {
  Random random;
  CAPTURE(random.seed);
  double worst = 0;
  for_each_tier([&](const Kernels& k) {
    CAPTURE(std::string(k.name));
    for_each_length([&](int32_t n, bool at_end) {
      Guarded<float> x(size_t(n), at_end), reference(size_t(n), at_end);
      std::vector<double> exact;
      for (int32_t i = 0; i < n; ++i) {
        x[size_t(i)] = -float(random.below(1000000)) * 8.7e-5f;  // 0 .. -87
        exact.push_back(std::exp(double(x[size_t(i)])));
      }
      std::memcpy(reference.data(), x.data(), size_t(n) * 4);
      const float total = k.exp_sum(x.data(), 0, n), total_scalar = scalar().exp_sum(reference.data(), 0, n);
      CHECK(std::memcmp(x.data(), reference.data(), size_t(n) * 4) == 0);
      CHECK(std::memcmp(&total, &total_scalar, 4) == 0);
      for (int32_t i = 0; i < n; ++i) worst = std::max(worst, std::fabs(double(x[size_t(i)]) / exact[size_t(i)] - 1));
    });
    float edges[] = {0, -88, -200, -1e30f, 88, 100, -__builtin_inff()};
    k.exp_sum(edges, 0, 7);
    CHECK(edges[0] == 1);
    CHECK(edges[1] == 0);
    CHECK(edges[2] == 0);
    CHECK(edges[3] == 0);
    CHECK(edges[6] == 0);
    CHECK(std::isfinite(edges[5]));
  });
  MESSAGE("exp: worst relative error ", worst / 0x1p-23, " ulp");
  CHECK(worst <= 2 * 0x1p-23);
}

TEST_CASE("angles keep float32 precision at any position, and rotations use them") {
  Random random;
  CAPTURE(random.seed);
  for_each_tier([&](const Kernels& k) {
    CAPTURE(std::string(k.name));
    double worst = 0;
    for (const uint64_t position : {0ull, 1ull, 511ull, (1ull << 24) + 1, (1ull << 53) + 3, ~0ull}) {
      for (int32_t n = 1; n <= 33; ++n) {
        Guarded<uint64_t> turns(size_t(n), true);
        Guarded<float> c(size_t(n), true), s(size_t(n), true), c0(size_t(n), true), s0(size_t(n), true);
        for (int32_t i = 0; i < n; ++i) turns[size_t(i)] = random.engine();
        k.rope_angles(turns.data(), position, n, c.data(), s.data());
        scalar().rope_angles(turns.data(), position, n, c0.data(), s0.data());
        CHECK(std::memcmp(c.data(), c0.data(), size_t(n) * 4) == 0);
        CHECK(std::memcmp(s.data(), s0.data(), size_t(n) * 4) == 0);
        for (int32_t i = 0; i < n; ++i) {
          const double angle = double((turns[size_t(i)] * position) >> 11) * 0x1p-53 * 6.283185307179586;
          worst = std::max({worst, std::fabs(double(c[size_t(i)]) - std::cos(angle)),
                            std::fabs(double(s[size_t(i)]) - std::sin(angle))});
        }
      }
    }
    MESSAGE(std::string(k.name), ": sin and cos off by at most ", worst);
    CHECK(worst <= 0x1p-23);
    float pairs[] = {1, 2, 3, 4}, halves[] = {1, 2, 3, 4};
    const float c[] = {0, 1}, s[] = {1, 0};
    k.rope_pairs(c, s, 2, pairs);
    k.rope_halves(c, s, 2, halves);
    const float rotated_pairs[] = {-2, 1, 3, 4}, rotated_halves[] = {-3, 2, 1, 4};
    CHECK(std::memcmp(pairs, rotated_pairs, sizeof pairs) == 0);
    CHECK(std::memcmp(halves, rotated_halves, sizeof halves) == 0);
  });
}

TEST_CASE("activation quantisation") {
  Random random;
  CAPTURE(random.seed);
  for_each_tier([&](const Kernels& k) {
    CAPTURE(std::string(k.name));
    for (int32_t blocks = 1; blocks <= 5; ++blocks) {
      const int32_t n = 32 * blocks;
      Guarded<float> x(size_t(n), true), d(size_t(blocks), true), d0(size_t(blocks), true);
      Guarded<int8_t> q(size_t(n), true), q0(size_t(n), true);
      Guarded<int8_t> octets(size_t(2 * n), true);
      Guarded<int32_t> start(size_t(4 * blocks), true);
      Guarded<float> sums(size_t(blocks), true);
      random.fill(&x);
      for (int32_t i = 0; i < 32 && blocks > 1; ++i) x[size_t(i)] = 0;  // a block of zeros
      k.quantize_blocks(x.data(), n, q.data(), d.data());
      constexpr int8_t kUntouched = 0x5a;
      for (int32_t i = 0; i < 2 * n; ++i) octets[size_t(i)] = kUntouched;
      k.spread_blocks(q.data(), d.data(), n, start.data(), octets.data(), sums.data());
      scalar().quantize_blocks(x.data(), n, q0.data(), d0.data());
      CHECK(std::memcmp(q.data(), q0.data(), size_t(n)) == 0);
      CHECK(std::memcmp(d.data(), d0.data(), size_t(blocks) * 4) == 0);
      for (int32_t i = 0; i < 2 * n; ++i)
        CHECK(octets[size_t(i)] == (k.has_octets ? q[size_t(i / 16 * 8 + i % 8)] : kUntouched));
      for (int32_t i = 0; i < 4 * blocks; ++i) {
        int32_t sum = 0;
        for (int32_t col = 0; col < 32; ++col) sum += q[size_t(i / 4 * 32 + col)];
        CHECK(start[size_t(i)] == (i % 2 == 0 ? -8 * sum : 0));
        CHECK(sums[size_t(i / 4)] == d[size_t(i / 4)] * float(sum));
      }
      for (int32_t i = 0; i < n; ++i) {
        const float scale = d[size_t(i / 32)];
        CHECK(std::fabs(x[size_t(i)] - scale * float(q[size_t(i)])) <= 0.5001f * scale);
      }
    }
    float odd[32] = {__builtin_nanf("")};
    int8_t q[32];
    float d;
    k.quantize_blocks(odd, 32, q, &d);
    CHECK(!std::isfinite(d));
  });
}

namespace {

// The kernels of one type of weights.
struct TypeKernels {
  decltype(Kernels::matvec_q4_i8) matvec_i8, matvec_f32, transposed;
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
  for (const WeightType type : {WeightType::q8, WeightType::q4, WeightType::q4m}) {
    for (const int32_t blocks : {1, 2, 3, 4, 5, 7, 8}) {
      for (int32_t n = 1; n <= 20; ++n) check_columns(type, blocks, n, 1, &random);
      for (const int32_t n : {31, 33, 64, 67}) check_columns(type, blocks, n, 1, &random);
    }
    // As many blocks as are unpacked at once, and more; a tile of panels, and one after it.
    for (const int32_t blocks : {22, 23, 24, 44, 45, 49, 73, 74, 75, 88, 89, 90, 99, 100, 199}) {
      for (const int32_t n : {5, 15}) check_columns(type, blocks, n, 5, &random);
    }
  }
}

TEST_CASE("integer matrix products are exact") {
  Random random;
  CAPTURE(random.seed);
  for (const int32_t blocks : {1, 2, 3, 4, 5, 13, 25, 90, 99, 100}) {
    for (const int32_t n :
         {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 31, 33, 64, 67, 128}) {
      if (blocks > 5 && n != 5 && n != 17 && n != 31)
        continue;  // many blocks, by all ways but not by all numbers: emulated CPUs are slow
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

TEST_CASE("fp16 conversions, all values") {
  size_t n_nan = 0;
  for (uint32_t h = 0; h < 65536; ++h) {
    const float f = half_to_float(uint16_t(h));
    if (std::isnan(f)) {
      ++n_nan;
      continue;
    }
    CHECK(float_to_half(f) == h);
    // Halfway to the next value rounds to even, just beyond it up.
    const float next = half_to_float(uint16_t(h + 1));
    if ((h & 0x7fff) >= 0x7bff || std::isnan(next)) continue;
    const float middle = float((double(f) + double(next)) / 2);
    CHECK(float_to_half(middle) == (h % 2 == 0 ? h : h + 1));
    CHECK(float_to_half(std::nextafterf(middle, next)) == h + 1);
  }
  CHECK(n_nan == 2 * 1023);
}
