// The float kernels as a table: how to call each, what float64 makes of it, and a derived bound of the difference.
//
// In the bounds u = 2^-24 is the unit roundoff of float32 and `tiny` = 2^-149 its smallest denormal: an operation returns
// exact (1 + e) + f with |e| <= u and |f| <= tiny / 2, f = 0 for sums and differences.
#ifndef PITH_TESTS_FLOAT_OPS_H
#define PITH_TESTS_FLOAT_OPS_H

#include <numbers>

#include "kernel_testing.h"

namespace pith::test {

using namespace internal;

constexpr double u = 0x1p-24, tiny = 0x1p-149;

using Doubles = std::vector<double>;

inline double sum_of(const Doubles& x) {
  double total = 0;
  for (const double v : x) total += v;
  return total;
}
inline Doubles each(const Floats& x, const auto& f) {
  Doubles out;
  for (const float v : x) out.push_back(f(double(v)));
  return out;
}
inline Doubles each(const Floats& x, const Floats& y, const auto& f) {
  Doubles out;
  for (size_t i = 0; i < x.size(); ++i) out.push_back(f(double(x[i]), double(y[i])));
  return out;
}

// Roundings that a term of a sum over n elements passes: one per 16 elements in its lane, four in the tree.
inline double chain(size_t n) { return double((n + 15) / 16 + 4); }

struct Expected {
  Doubles exact, bound;  // [outputs]
};

// A kernel as a function of a, b [n] into out [n_out(n)]. `in_place`: out may be a.
struct Op {
  const char* name;
  bool in_place;
  bool is_reduction;  // one output
  double largest;     // magnitude of a and b up to which the bound holds
  void (*run)(const Kernels& k, const float* a, const float* b, int32_t n, float* out);
  Expected (*expect)(const Floats& a, const Floats& b);
};

inline Expected one(double exact, double bound) { return {{exact}, {bound}}; }

// exact = f(a, b), bound = g(a, b, exact), element by element.
template <typename F, typename G>
inline Expected elementwise(const Floats& a, const Floats& b, F f, G g) {
  Expected e;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = double(a[i]), y = double(b[i]), exact = f(x, y);
    e.exact.push_back(exact);
    e.bound.push_back(g(x, y, std::fabs(exact)));
  }
  return e;
}

inline double square(double x) { return x * x; }

constexpr float kEps = 1e-6f;
constexpr float kScale = 1.7f;  // s of axpy and shift_scale
constexpr float kShift = 0.3f;

// mean x^2 passes chain + 1 (division) + 1 (eps) roundings; the root halves them and adds one; the reciprocal, and the
// products with x and gamma, one each.
inline Expected expect_rmsnorm(const Floats& a, const Floats& b, bool has_gamma) {
  const double n = double(a.size()), rms = std::sqrt(sum_of(each(a, square)) / n + double(kEps));
  return elementwise(
      a, b, [=](double x, double g) { return x / rms * (has_gamma ? g : 1); },
      [=](double, double g, double exact) {
        return ((chain(a.size()) + 2) / 2 + 4) * u * 1.01 * exact + tiny * (1 + std::fabs(g));
      });
}

// The computed mean is off by D <= (chain + 1) u mean|x|. The variance about it is var + D^2, with chain + 2 roundings (two
// in the difference squared), two more for the division and eps; half of all that (sigma) reaches the reciprocal root, with
// two roundings of its own. An element x - mean is off by D, and gets two roundings; then gamma, then beta one each.
inline Expected expect_layernorm(const Floats& a, const Floats& b, bool has_gamma, bool has_beta) {
  const double n = double(a.size()), mean = sum_of(each(a, [](double x) { return x; })) / n;
  const double variance = sum_of(each(a, [=](double x) { return square(x - mean); })) / n + double(kEps);
  const double off = (chain(a.size()) + 1) * u * sum_of(each(a, [](double x) { return std::fabs(x); })) / n;
  const double sigma = (square(off) / variance + (chain(a.size()) + 4) * u) / 2 + 2 * u, s = 1 / std::sqrt(variance);
  return elementwise(
      a, b, [=](double x, double g) { return (x - mean) * s * (has_gamma ? g : 1) + (has_beta ? g : 0); },
      [=](double x, double g, double exact) {
        const double scaled = s * (off + std::fabs(x - mean) * (sigma + 3 * u)) * 1.1;
        return scaled * (has_gamma ? std::fabs(g) : 1) + u * exact + tiny * (2 + std::fabs(g));
      });
}

// x - max rounds, which exp turns into a relative error of its size; exp itself errs by 2 ulp = 4 u. Below -87.33 it is 0,
// where e^x < 2^-125.
inline Expected expect_exp(const Floats& a, const Floats&) {
  const double top = double(*std::max_element(a.begin(), a.end()));
  return elementwise(
      a, a, [=](double x, double) { return std::exp(x - top); },
      [=](double x, double, double exact) { return (4 + 1.01 * (top - x)) * u * exact + 0x1p-125; });
}

// The exponent has no error, exp 4 u, its sum with 1, the quotient and the product u each. Where exp is held at e^88.37,
// the result is off by that quotient.
inline Expected expect_silu(const Floats& a, const Floats& b) {
  return elementwise(
      a, b, [](double g, double up) { return g / (1 + std::exp(-g)) * up; },
      [](double g, double up, double exact) {
        return 7.1 * u * exact + std::fabs(g * up) * 4.3e-39 + tiny * (1 + std::fabs(up));
      });
}

// The exponent t = -2 y passes 6 roundings, all of one sign's terms: e^t errs by 6 |t| u, and exp by 4 u, of which the share
// e / (1 + e) reaches the sum; sum and quotient add u each.
inline Expected expect_gelu_tanh(const Floats& a, const Floats&) {
  const auto exponent = [](double x) { return -2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x); };
  return elementwise(
      a, a, [=](double x, double) { return x / (1 + std::exp(exponent(x))); },
      [=](double x, double, double exact) {
        const double t = exponent(x), share = t > 700 ? 1 : std::exp(t) / (1 + std::exp(t));
        const double relative = std::min(1.0, (1.01 * 6 * std::min(std::fabs(t), 800.0) + 4) * u * share + 2.1 * u);
        return relative * exact + std::fabs(x) * 4.3e-39 + tiny;
      });
}

// erf errs by 5e-7 absolutely, and is halved; its sum with 1 and the product add u each.
inline Expected expect_gelu_erf(const Floats& a, const Floats&) {
  return elementwise(
      a, a, [](double x, double) { return x / 2 * std::erfc(-x / std::numbers::sqrt2); },
      [](double x, double, double exact) { return std::fabs(x) / 2 * 5e-7 + 2.1 * u * exact + tiny; });
}

// Angles of the rotation tests: the elements of b, whether or not they are a sine and a cosine.
template <bool kPairs>
void run_rope(const Kernels& k, const float* a, const float* b, int32_t n, float* out) {
  if (out != a) std::copy_n(a, n, out);
  (kPairs ? k.rope_pairs : k.rope_halves)(b, b + n / 2, n / 2, out);
}
// fma(a, c, -(b s)): the product rounds, then the sum.
template <bool kPairs>
inline Expected expect_rope(const Floats& a, const Floats& b) {
  const size_t n = a.size() / 2;
  Expected e{Doubles(a.begin(), a.end()), Doubles(a.size(), 0)};
  for (size_t i = 0; i < n; ++i) {
    const size_t at = kPairs ? 2 * i : i, to = kPairs ? 2 * i + 1 : n + i;
    const double x = double(a[at]), y = double(a[to]), c = double(b[i]), s = double(b[n + i]);
    e.exact[at] = x * c - y * s;
    e.exact[to] = x * s + y * c;
    e.bound[at] = 2.1 * u * (std::fabs(x * c) + std::fabs(y * s)) + 2 * tiny;
    e.bound[to] = 2.1 * u * (std::fabs(x * s) + std::fabs(y * c)) + 2 * tiny;
  }
  return e;
}

inline const Op kOps[] = {
    {"sum", false, true, 1e30,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) { *out = k.sum(a, n); },
     [](const Floats& a, const Floats&) {
       return one(sum_of(each(a, [](double x) { return x; })),
                  chain(a.size()) * u * 1.01 * sum_of(each(a, [](double x) { return std::fabs(x); })));
     }},
    {"dot", false, true, 1e15,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) { *out = k.dot(a, b, n); },
     [](const Floats& a, const Floats& b) {
       const Doubles terms = each(a, b, [](double x, double y) { return x * y; });
       double magnitude = 0;
       for (const double t : terms) magnitude += std::fabs(t);
       return one(sum_of(terms), chain(a.size()) * u * 1.01 * magnitude + double(a.size()) * tiny);
     }},
    {"sum_squares", false, true, 1e15,  // the difference rounds before it is squared: two more
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) { *out = k.sum_squares(a, kShift, n); },
     [](const Floats& a, const Floats&) {
       const double exact = sum_of(each(a, [](double x) { return square(x - double(kShift)); }));
       return one(exact, (chain(a.size()) + 2) * u * 1.01 * exact + double(a.size()) * tiny);
     }},
    {"max", false, true, 3e38,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) { *out = k.max(a, n); },
     [](const Floats& a, const Floats&) { return one(double(*std::max_element(a.begin(), a.end())), 0); }},
    {"multiply", true, false, 1e18,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) { k.multiply(a, b, n, out); },
     [](const Floats& a, const Floats& b) {
       return elementwise(
           a, b, [](double x, double y) { return double(float(x * y)); }, [](double, double, double) { return 0.0; });
     }},
    {"add", true, false, 1e38,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) { k.add(a, b, n, out); },
     [](const Floats& a, const Floats& b) {
       return elementwise(
           a, b, [](double x, double y) { return double(float(x + y)); }, [](double, double, double) { return 0.0; });
     }},
    {"shift_scale", true, false, 1e38,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) {
       k.shift_scale(a, kShift, kScale, n, out);
     },
     [](const Floats& a, const Floats& b) {
       return elementwise(
           a, b, [](double x, double) { return (x - double(kShift)) * double(kScale); },
           [](double, double, double exact) { return 2.01 * u * exact + tiny; });
     }},
    {"axpy", true, false, 1e38,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) {
       if (out != a) std::copy_n(a, n, out);
       k.axpy(kScale, b, n, out);
     },
     [](const Floats& a, const Floats& b) {
       return elementwise(
           a, b, [](double y, double x) { return double(kScale) * x + y; },
           [](double, double, double exact) { return 1.01 * u * exact + tiny; });
     }},
    {"rmsnorm", true, false, 1e15,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) { k.rmsnorm(a, b, kEps, n, out); },
     [](const Floats& a, const Floats& b) { return expect_rmsnorm(a, b, true); }},
    {"rmsnorm without gamma", true, false, 1e15,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) { k.rmsnorm(a, nullptr, kEps, n, out); },
     [](const Floats& a, const Floats& b) { return expect_rmsnorm(a, b, false); }},
    {"layernorm", true, false, 1e15,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) {
       k.layernorm(a, b, b, kEps, n, out);
     },
     [](const Floats& a, const Floats& b) { return expect_layernorm(a, b, true, true); }},
    {"layernorm without beta", true, false, 1e15,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) {
       k.layernorm(a, b, nullptr, kEps, n, out);
     },
     [](const Floats& a, const Floats& b) { return expect_layernorm(a, b, true, false); }},
    {"layernorm without gamma", true, false, 1e15,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) {
       k.layernorm(a, nullptr, b, kEps, n, out);
     },
     [](const Floats& a, const Floats& b) { return expect_layernorm(a, b, false, true); }},
    {"exp_sum", true, false, 1e30,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) {
       if (out != a) std::copy_n(a, n, out);
       k.exp_sum(out, *std::max_element(out, out + n), n);
     },
     expect_exp},
    {"rope_pairs", true, false, 1e15, run_rope<true>, expect_rope<true>},
    {"rope_halves", true, false, 1e15, run_rope<false>, expect_rope<false>},
    {"silu_multiply", true, false, 1e15,
     [](const Kernels& k, const float* a, const float* b, int32_t n, float* out) { k.silu_multiply(a, b, n, out); },
     expect_silu},
    {"relu2", true, false, 1e18,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) { k.relu2(a, n, out); },
     [](const Floats& a, const Floats& b) {
       return elementwise(
           a, b, [](double x, double) { return x > 0 ? x * x : 0; },
           [](double, double, double exact) { return u * exact + tiny; });
     }},
    {"gelu_tanh", true, false, 1e12,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) { k.gelu_tanh(a, n, out); },
     expect_gelu_tanh},
    {"gelu_erf", true, false, 1e15,
     [](const Kernels& k, const float* a, const float*, int32_t n, float* out) { k.gelu_erf(a, n, out); },
     expect_gelu_erf},
};

}  // namespace pith::test

#endif
