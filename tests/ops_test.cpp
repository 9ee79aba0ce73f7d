// The float kernels where they are delicate: numbers of every magnitude, zeros, denormals, infinity and NaN; every
// misalignment; outputs over their inputs. Against float64 within derived bounds, and bit for bit against the scalar tier.
// kernels_test.cpp holds them to ordinary numbers of every length.
#include "float_ops.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// What a kernel makes of a and b with out elsewhere (or over a) at some place of the pages.
Floats run_at(const Op& op, const Kernels& k, const Floats& a, const Floats& b, int place, bool over_input) {
  static Pages a_pages, b_pages, out_pages;
  float* in = a_pages.put(a, place);
  const float* other = b_pages.put(b, place == 4 ? 4 : 3 - place);
  if (over_input) {
    op.run(k, in, other, int32_t(a.size()), in);
    CHECK(a_pages.is_clean_around());
    return a_pages.get();
  }
  float* out = out_pages.put(Floats(op.is_reduction ? 1 : a.size(), kCanary), place);
  op.run(k, in, other, int32_t(a.size()), out);
  CHECK(out_pages.is_clean_around());
  CHECK(same(a_pages.get(), a));
  CHECK(same(b_pages.get(), b));
  return out_pages.get();
}

void check_bound(const Floats& got, const Expected& expected) {
  REQUIRE(got.size() == expected.exact.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(std::fabs(double(got[i]) - expected.exact[i]) <= expected.bound[i]);
  }
}

}  // namespace

TEST_CASE("float kernels on numbers of every magnitude: bounds, bits, alignment, in place") {
  Random random;
  CAPTURE(random.seed);
  for (const Op& op : kOps) {
    CAPTURE(std::string(op.name));
    for (int32_t n = 1; n <= 70; ++n) {
      CAPTURE(n);
      const double largest = n % 3 == 0 ? op.largest : 30;  // where exp neither vanishes nor overflows
      Floats a, b;
      for (int32_t i = 0; i < n; ++i) {
        a.push_back(n % 3 == 2 ? random.uniform(-4, 4) : random.any(largest));
        b.push_back(random.any(2));
      }
      const Expected expected = op.expect(a, b);
      const Floats reference = run_at(op, scalar(), a, b, 0, false);
      check_bound(reference, expected);
      for_each_tier([&](const Kernels& k) {
        for (int place = 0; place <= 4; ++place) {
          CAPTURE(place);
          CHECK(same(run_at(op, k, a, b, place, false), reference));
          if (op.in_place) CHECK(same(run_at(op, k, a, b, place, true), reference));
        }
      });
    }
  }
}

TEST_CASE("float kernels on infinity, NaN and the largest numbers: the same on every tier") {
  Random random;
  CAPTURE(random.seed);
  const float odd[] = {kInf, -kInf, kNan, 3.4028235e38f, -3.4028235e38f, 1.4e-45f, 0.0f, -0.0f, 88.4f, -87.4f};
  for (const Op& op : kOps) {
    CAPTURE(std::string(op.name));
    for (int32_t n = 1; n <= 70; ++n) {
      CAPTURE(n);
      Floats a, b;
      for (int32_t i = 0; i < n; ++i) {
        a.push_back(random.engine() % 8 == 0 ? odd[random.engine() % std::size(odd)] : random.uniform(-4, 4));
        b.push_back(random.engine() % 8 == 0 ? odd[random.engine() % std::size(odd)] : random.uniform(-4, 4));
      }
      const Floats reference = run_at(op, scalar(), a, b, 0, false);
      for_each_tier([&](const Kernels& k) { CHECK(same(run_at(op, k, a, b, 4, false), reference)); });
    }
  }
}

TEST_CASE("a NaN comes out of every float kernel that it goes into") {
  for_each_tier([](const Kernels& k) {
    for (const Op& op : kOps) {
      if (std::string(op.name) == "max") continue;  // softmax shows it: x - max is NaN where x is
      CAPTURE(std::string(op.name));
      for (const size_t at : {0, 5, 16, 37}) {
        Floats a(38, 0.5f), b(38, 0.25f);
        a[at] = kNan;
        const Floats out = run_at(op, k, a, b, 4, false);
        CHECK(std::isnan(out[op.is_reduction ? 0 : at]));
      }
    }
    float x[] = {1, kNan, 2};
    CHECK(std::isnan(k.exp_sum(x, 2, 3)));
  });
}

TEST_CASE("a norm is NaN where its mean of squares is beyond float32, and never zeros") {
  Random random;
  CAPTURE(random.seed);
  const Floats gamma(70, 0.5f), beta(70, 0.25f);
  for_each_tier([&](const Kernels& k) {
    for (int32_t n = 2; n <= 70; ++n) {
      CAPTURE(n);
      const auto norms_of = [&](float largest) {  // one number of this size, among others
        Floats x(static_cast<size_t>(n)), out(x.size()), all;
        for (float& value : x) value = random.uniform(-4, 4);
        x[random.below(x.size())] = largest * random.sign();
        const auto add = [&] { all.insert(all.end(), out.begin(), out.end()); };
        for (const float* g : {static_cast<const float*>(nullptr), gamma.data()}) {
          k.rmsnorm(x.data(), g, 1e-6f, n, out.data());
          add();
          k.layernorm(x.data(), g, beta.data(), 1e-6f, n, out.data());
          add();
        }
        return all;
      };
      const auto is_nan = [](float value) { return std::isnan(value); };
      const Floats beyond = norms_of(1e21f), within = norms_of(1e18f);
      CHECK(std::all_of(beyond.begin(), beyond.end(), is_nan));
      CHECK(std::none_of(within.begin(), within.end(), is_nan));
    }
  });
}

// A million arguments a function and tier.
TEST_CASE("functions over their whole range") {
  Random random;
  CAPTURE(random.seed);
  constexpr int32_t kCount = 1 << 20;
  for_each_tier([&](const Kernels& k) {
    Floats x(kCount), up(kCount, 1.0f), out(kCount);
    for (int32_t i = 0; i < kCount; ++i) x[size_t(i)] = i % 2 == 0 ? random.uniform(-87.3f, 88.3f) : random.any(80);
    out = x;
    k.exp_sum(out.data(), 0, kCount);
    double exp_error = 0, silu_error = 0, erf_error = 0, tanh_error = 0;
    const auto relative = [](float got, double exact) { return std::fabs(double(got) / exact - 1) / (2 * u); };
    for (size_t i = 0; i < x.size(); ++i) exp_error = std::max(exp_error, relative(out[i], std::exp(double(x[i]))));
    k.silu_multiply(x.data(), up.data(), kCount, out.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = double(x[i]);
      if (std::fabs(v) > 1e-30 && v > -80) silu_error = std::max(silu_error, relative(out[i], v / (1 + std::exp(-v))));
    }
    k.gelu_erf(x.data(), kCount, out.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = double(x[i]);
      if (std::fabs(v) < 1e-30) continue;
      const double erf = double(out[i]) / (v / 2) - 1;
      erf_error = std::max(erf_error, std::fabs(erf - std::erf(v / std::numbers::sqrt2)));
    }
    k.gelu_tanh(x.data(), kCount, out.data());
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = double(x[i]), y = std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v);
      tanh_error = std::max(tanh_error, std::fabs(double(out[i]) - v / (1 + std::exp(-2 * y))));
    }
    MESSAGE(std::string(k.name), ": exp ", exp_error, " ulp, silu ", silu_error, " ulp, erf ", erf_error,
            ", gelu by tanh ", tanh_error, " absolute");
    CHECK(exp_error <= 2);
    CHECK(silu_error <= 3.6);          // 7.1 u
    CHECK(erf_error <= 5e-7 + 4 * u);  // the sum 1 + erf and its product, up to 2, round once each
    CHECK(tanh_error <= 80 * 4 * u);
  });
}

TEST_CASE("sine and cosine at every 4096th phase and around the quarters") {
  for_each_tier([](const Kernels& k) {
    std::vector<uint64_t> turns;
    for (uint64_t i = 0; i < (1u << 20); ++i) turns.push_back(i << 44);
    for (uint64_t eighth = 0; eighth < 8; ++eighth) {
      for (int64_t off = -300; off <= 300; ++off) turns.push_back((eighth << 61) + (uint64_t(off) << 31));
    }
    Floats cosine(turns.size()), sine(turns.size());
    k.rope_angles(turns.data(), 1, int32_t(turns.size()), cosine.data(), sine.data());
    double worst = 0;
    for (size_t i = 0; i < turns.size(); ++i) {
      const double angle = 2 * std::numbers::pi * double(turns[i] >> 11) * 0x1p-53;
      worst = std::max(
          {worst, std::fabs(double(cosine[i]) - std::cos(angle)), std::fabs(double(sine[i]) - std::sin(angle))});
    }
    MESSAGE(std::string(k.name), ": sine and cosine off by at most ", worst);
    CHECK(worst <= 0x1p-23);
  });
}

// 127 / max and its product with x round once each: q is within 1/2 + 127 * 2.1 u of 127 x / max.
TEST_CASE("rows quantised with one scale, and back") {
  Random random;
  CAPTURE(random.seed);
  for_each_tier([&](const Kernels& k) {
    for (int32_t n = 1; n <= 70; ++n) {
      CAPTURE(n);
      const float size = float(std::exp2(random.uniform(-100, 100)));
      Pages x_pages, out_pages;
      Floats x;
      for (int32_t i = 0; i < n; ++i) x.push_back(size * random.uniform(-1, 1));
      const int place = n % 5;
      std::vector<int8_t> q(size_t(n) + 2, 99), other(size_t(n) + 2, 99);
      const float scale = k.quantize_row(x_pages.put(x, place), n, q.data() + 1);
      CHECK(scale == scalar().quantize_row(x.data(), n, other.data() + 1));
      CHECK(q == other);
      CHECK((q.front() == 99 && q.back() == 99));
      double largest = 0;
      for (const float v : x) largest = std::max(largest, std::fabs(double(v)));
      CHECK(std::fabs(double(scale) - largest / 127) <= u * largest / 127);
      float* out = out_pages.put(Floats(size_t(n), 0), place);
      k.dequantize_row(q.data() + 1, scale, n, out);
      CHECK(out_pages.is_clean_around());
      for (size_t i = 0; i < x.size(); ++i) {
        CHECK(std::fabs(double(q[i + 1]) - 127 * double(x[i]) / largest) <= 0.5 + 127 * 2.1 * u);
        CHECK(out[i] == float(double(scale) * double(q[i + 1])));
      }
    }
    const Floats zeros = {0, -0.0f, 0}, denormal = {1e-40f, -1e-44f};
    int8_t q[3];
    CHECK(k.quantize_row(zeros.data(), 3, q) == 0);
    CHECK((q[0] == 0 && q[1] == 0 && q[2] == 0));
    CHECK(k.quantize_row(denormal.data(), 2, q) == 0);  // 127 / max would overflow: taken for zeros
    const Floats with_nan = {1, kNan, 2}, with_infinity = {1, -kInf, 2};
    CHECK(!std::isfinite(k.quantize_row(with_nan.data(), 3, q)));
    CHECK(!std::isfinite(k.quantize_row(with_infinity.data(), 3, q)));
  });
}

TEST_CASE("all_finite finds NaN and infinity anywhere, and nothing else") {
  for_each_tier([](const Kernels& k) {
    for (int32_t n = 1; n <= 70; ++n) {
      Pages pages;
      Floats x(size_t(n), 3.4028235e38f);
      CHECK(k.all_finite(pages.put(x, 4), n) == 1);
      for (size_t at = 0; at < x.size(); ++at) {
        for (const float bad : {kNan, -kNan, kInf, -kInf}) {
          x[at] = bad;
          CHECK(k.all_finite(pages.put(x, 4), n) == 0);
        }
        x[at] = -1e-45f;
      }
    }
  });
}
