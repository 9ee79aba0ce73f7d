// Every kernel but the products (products_test.cpp) on every usable tier: against float64 within derived bounds, and bit for
// bit against the scalar tier, for every tail length, at every alignment, with inaccessible pages right before and after the
// data.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "dispatch.h"
#include "half.h"
#include "wide_scale.h"
#include "kernel_testing.h"
#include "raw_gguf.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

constexpr double kEps = 0x1p-24;  // unit roundoff of float32

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

TEST_CASE("scales of 16 bits, all values") {
  size_t n_not_finite = 0;
  for (uint32_t u = 0; u < 65536; ++u) {
    const float f = scale_to_float(uint16_t(u));
    if (!std::isfinite(f)) {
      ++n_not_finite;
      CHECK(!std::isfinite(scale_to_float(float_to_scale(f))));
      continue;
    }
    CHECK(double(f) == std::ldexp(1 + double(u & 511u) / 512, int(u >> 9) - 63));
    CHECK(float_to_scale(f) == u);
    CHECK(float_to_scale(-f) == 0);
    const float next = u == 0xfdff ? 0x1p64f : scale_to_float(uint16_t(u + 1));
    const float middle = float((double(f) + double(next)) / 2);
    CHECK(float_to_scale(middle) == (u % 2 == 0 ? u : u + 1));
    CHECK(float_to_scale(std::nextafterf(middle, next)) == u + 1);
  }
  CHECK(n_not_finite == 512);
  CHECK(float_to_scale(0) == 0);
  CHECK(float_to_scale(0x1p-149f) == 0);
  CHECK(std::isinf(scale_to_float(float_to_scale(HUGE_VALF))));
}
