// The kernels of grouped attention on every usable tier: integers exactly, floats bit for bit as their contracts say or as the
// scalar tier has them and within derived bounds of float64; with inaccessible pages right before and after every array.
#include "half.h"
#include "quick.h"
#include "wide_scale.h"
#include "kernel_testing.h"
#include "row_values.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

constexpr double u = 0x1p-24, tiny = 0x1p-149;  // unit roundoff and smallest denormal of float32

// A query or weights, rows that lie a little apart, and which of them to take; the last row is always among them.
struct HeadCase {
  int32_t n_heads, heads_per_kv, width, n;
  size_t stride, w_stride, out_stride;
  std::vector<int8_t> q, rows;  // [n_heads][width]; [kRows], stride apart
  std::vector<int32_t> index;   // [n]
  Floats weights, sums;         // [n], w_stride apart; [n_heads], out_stride apart

  static constexpr int32_t kRows = 7;

  HeadCase(int32_t heads, int32_t per_kv, int32_t wide, int32_t count, Values values, Random* random)
      : n_heads(heads), heads_per_kv(per_kv), width(wide), n(count) {
    const size_t row = size_t((heads + per_kv - 1) / per_kv * wide);
    stride = row + random->engine() % 40;
    w_stride = size_t(heads) + random->engine() % 5;
    out_stride = size_t(wide) + random->engine() % 5;
    for (size_t i = 0; i < size_t(heads * wide); ++i) q.push_back(value_of(values, true, i, random));
    for (size_t i = 0; i < stride * (kRows - 1) + row; ++i) rows.push_back(value_of(values, false, i % stride, random));
    for (int32_t i = 0; i < count; ++i) index.push_back(int32_t(random->engine() % kRows));
    index[random->engine() % size_t(count)] = kRows - 1;
    for (size_t i = 0; i < w_stride * size_t(count - 1) + size_t(heads); ++i) weights.push_back(random->any(1e3));
    for (size_t i = 0; i < out_stride * size_t(heads - 1) + size_t(wide); ++i) sums.push_back(random->any(1e3));
  }

  int32_t row_at(int32_t i, int32_t h, int32_t j) const {
    return rows[stride * size_t(index[size_t(i)]) + size_t(h / heads_per_kv * width + j)];
  }
};

// Heads 1 .. 17 and more than are worked on at once; every kind of sharing; n = 1 .. 20 over and over. And the queries of a
// prompt, which share all of many rows.
template <typename F>
void for_each_head_case(std::initializer_list<int32_t> widths, Random* random, F f) {
  int32_t counter = 0;
  Share share;
  const auto run = [&](int32_t n_heads, int32_t heads_per_kv, int32_t width, int32_t n) {
    CAPTURE(width);
    CAPTURE(n_heads);
    CAPTURE(heads_per_kv);
    CAPTURE(n);
    const Values values = Values(counter++ % 5);
    if (!share.leaves_out()) f(HeadCase(n_heads, heads_per_kv, width, n, values, random));
  };
  for (const int32_t width : widths) {
    for (int32_t heads = 1; heads <= (width == 32 ? 20 : 17); ++heads) {
      const int32_t n_heads = heads == 18 ? 64 : heads == 19 ? 67 : heads == 20 ? 131 : heads;
      for (const int32_t heads_per_kv : {1, 2, 3, 5, n_heads}) run(n_heads, heads_per_kv, width, 1 + counter % 20);
    }
    for (const int32_t n_heads : {17, 63, 64}) run(n_heads, n_heads, width, 62 + counter % 5);
  }
}

}  // namespace

TEST_CASE("integer dots of heads with gathered rows") {
  Random random;
  CAPTURE(random.seed);
  for_each_head_case({32, 64, 96, 128, 256}, &random, [](const HeadCase& c) {
    const size_t out_stride = size_t(c.n_heads) + c.w_stride % 3;
    std::vector<int32_t> expected(out_stride * size_t(c.n), 0);
    for (int32_t i = 0; i < c.n; ++i) {
      for (int32_t h = 0; h < c.n_heads; ++h) {
        int32_t exact = 0;  // at most 256 * 127^2
        for (int32_t j = 0; j < c.width; ++j) exact += c.q[size_t(h * c.width + j)] * c.row_at(i, h, j);
        expected[out_stride * size_t(i) + size_t(h)] = exact;
      }
    }
    for (const bool at_end : {false, true}) {
      CAPTURE(at_end);
      Guarded<int8_t> q(c.q, at_end), rows(c.rows, at_end);
      Guarded<int32_t> index(c.index, at_end);
      for_each_tier([&](const Kernels& k) {
        Guarded<int32_t> out(std::vector<int32_t>(expected.size(), 0), at_end);
        k.head_dots_i8(q.data(), c.n_heads, c.heads_per_kv, c.width, {rows.data(), c.stride, index.data()}, c.n,
                       out.data(), out_stride);
        std::vector<int32_t> dots = out.get();
        for (size_t i = 0; i < dots.size(); ++i) {  // beyond the heads: of no meaning
          if (i % out_stride >= size_t(c.n_heads)) dots[i] = 0;
        }
        CHECK(dots == expected);
      });
    }
  });
}

// Each of n products and sums rounds at most once: n u of all magnitudes.
TEST_CASE("sums of heads with gathered rows, on every tier") {
  Random random;
  CAPTURE(random.seed);
  for_each_head_case({16, 32, 48, 64, 96, 128, 256}, &random, [](const HeadCase& c) {
    Floats expected = c.sums;
    bool is_near = true;
    for (int32_t h = 0; h < c.n_heads; ++h) {
      for (int32_t j = 0; j < c.width; ++j) {
        float& sum = expected[c.out_stride * size_t(h) + size_t(j)];
        double exact = double(sum), magnitude = std::fabs(exact);
        for (int32_t i = 0; i < c.n; ++i) {
          const float w = c.weights[c.w_stride * size_t(i) + size_t(h)], value = float(c.row_at(i, h, j));
          sum = std::fma(w, value, sum);
          exact += double(w) * double(value);
          magnitude += std::fabs(double(w) * double(value));
        }
        is_near = is_near && std::fabs(double(sum) - exact) <= c.n * (1.01 * u * magnitude + tiny);
      }
    }
    CHECK(is_near);
    for (const bool at_end : {false, true}) {
      CAPTURE(at_end);
      Guarded<float> weights(c.weights, at_end);
      Guarded<int8_t> rows(c.rows, at_end);
      Guarded<int32_t> index(c.index, at_end);
      for_each_tier([&](const Kernels& k) {
        Guarded<float> out(c.sums, at_end);
        k.head_sums_i8(weights.data(), c.w_stride, c.n_heads, c.heads_per_kv, c.width,
                       {rows.data(), c.stride, index.data()}, c.n, out.data(), c.out_stride);
        CHECK(same(out.get(), expected));
      });
    }
  });
}

namespace {

// Rows of heads in lanes: the inputs of every kernel of them. `state`: a maximum or a sum of every head.
struct Rows {
  int32_t n, lanes;
  Floats x, q, row, head_row, state;  // [n][lanes], [lanes], [n], [n][lanes], [lanes]
  std::vector<int32_t> dots;          // [n][lanes]
};

// What may change: x, and the state.
struct Changed {
  Floats x, state;
};

struct RowOp {
  const char* name;
  void (*run)(const Kernels& k, const int32_t* dots, const float* q, const float* row, const float* head_row, int32_t n,
              int32_t lanes, float* x, float* state);
  // The exact x, or state with i = n, and its bound.
  double (*exact)(const Rows& r, int32_t i, int32_t h, double* bound);
};

double x_at(const Rows& r, int32_t i, int32_t h) { return double(r.x[size_t(i * r.lanes + h)]); }
double state_at(const Rows& r, int32_t h) { return double(r.state[size_t(h)]); }

// The dot, the scale and the fma round once each, the first two within the product.
double score(const Rows& r, int32_t i, int32_t h, float row, double* bound) {
  const double product = double(r.dots[size_t(i * r.lanes + h)]) * double(r.q[size_t(h)]) * double(row);
  const double exact = product + x_at(r, i, h);
  *bound = 2.01 * u * std::fabs(product) + 1.01 * u * std::fabs(exact) + tiny * (1 + 0x1p31);
  return exact;
}

// As expect_exp in float_ops.h: x - max rounds, which exp turns into a relative error of its size; exp itself errs by 4 u.
double exponential(const Rows& r, int32_t i, int32_t h, double* bound) {
  const double below = state_at(r, h) - x_at(r, i, h), exact = std::exp(-below);
  *bound = (4 + 1.01 * std::fabs(below)) * u * exact + 0x1p-125;
  return exact;
}

const RowOp kRowOps[] = {
    {"add_scores",
     [](const Kernels& k, const int32_t* dots, const float* q, const float* row, const float*, int32_t n, int32_t lanes,
        float* x, float*) { k.add_scores(dots, q, row, n, lanes, x); },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       *bound = 0;
       return i == r.n ? state_at(r, h) : score(r, i, h, r.row[size_t(i)], bound);
     }},
    // The dot, the scale and the product round once each.
    {"set_scores",
     [](const Kernels& k, const int32_t* dots, const float* q, const float* row, const float*, int32_t n, int32_t lanes,
        float* x, float*) { k.set_scores(dots, q, row, n, lanes, x); },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       *bound = 0;
       if (i == r.n) return state_at(r, h);
       const double exact = double(r.dots[size_t(i * r.lanes + h)]) * double(r.q[size_t(h)]) * double(r.row[size_t(i)]);
       *bound = 3.01 * u * std::fabs(exact) + tiny * (1 + 0x1p31);
       return exact;
     }},
    {"add_head_scores",
     [](const Kernels& k, const int32_t* dots, const float* q, const float*, const float* head_row, int32_t n,
        int32_t lanes, float* x, float*) { k.add_head_scores(dots, q, head_row, n, lanes, x); },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       *bound = 0;
       return i == r.n ? state_at(r, h) : score(r, i, h, r.head_row[size_t(i * r.lanes + h)], bound);
     }},
    {"max_rows",
     [](const Kernels& k, const int32_t*, const float*, const float*, const float*, int32_t n, int32_t lanes, float* x,
        float* state) { k.max_rows(x, n, lanes, state); },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       *bound = 0;
       if (i < r.n) return x_at(r, i, h);
       double largest = state_at(r, h);
       for (int32_t j = 0; j < r.n; ++j) largest = std::max(largest, x_at(r, j, h));
       return largest;
     }},
    // The state is a maximum first and then the sum, which begins at 1.5.
    {"exp_rows",
     [](const Kernels& k, const int32_t*, const float*, const float*, const float*, int32_t n, int32_t lanes, float* x,
        float* state) {
       const Floats max(state, state + lanes);
       std::fill_n(state, lanes, 1.5f);
       k.exp_rows(x, max.data(), n, lanes, state);
     },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       if (i < r.n) return exponential(r, i, h, bound);
       double total = 1.5, off = 0;
       for (int32_t j = 0; j < r.n; ++j) {
         total += exponential(r, j, h, bound);
         off += *bound;
       }
       *bound = off + r.n * 1.01 * u * total;
       return total;
     }},
    {"outer_rows",
     [](const Kernels& k, const int32_t*, const float* q, const float* row, const float*, int32_t n, int32_t lanes,
        float* x, float*) { k.outer_rows(q, row, n, lanes, x); },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       *bound = 0;
       if (i == r.n) return state_at(r, h);
       const double exact = double(r.q[size_t(h)]) * double(r.row[size_t(i)]);
       *bound = u * std::fabs(exact) + tiny;
       return exact;
     }},
    {"sum_rows",
     [](const Kernels& k, const int32_t*, const float*, const float* row, const float*, int32_t n, int32_t lanes,
        float* x, float* state) { k.sum_rows(x, row, n, lanes, state); },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       *bound = 0;
       if (i < r.n) return x_at(r, i, h);
       double total = state_at(r, h), magnitude = std::fabs(total);
       for (int32_t j = 0; j < r.n; ++j) {
         const double term = x_at(r, j, h) * double(r.row[size_t(j)]);
         total += term;
         magnitude += std::fabs(term);
       }
       *bound = r.n * 1.01 * u * magnitude + tiny;
       return total;
     }},
    {"scale_rows",
     [](const Kernels& k, const int32_t*, const float*, const float* row, const float*, int32_t n, int32_t lanes,
        float* x, float*) { k.scale_rows(x, row, n, lanes, x); },
     [](const Rows& r, int32_t i, int32_t h, double* bound) {
       *bound = 0;
       if (i == r.n) return state_at(r, h);
       const double exact = x_at(r, i, h) * double(r.row[size_t(i)]);
       *bound = u * std::fabs(exact) + tiny;
       return exact;
     }},
};

Changed run_at(const RowOp& op, const Kernels& k, const Rows& r, bool at_end) {
  Guarded<int32_t> dots(r.dots, at_end);
  Guarded<float> q(r.q, at_end), row(r.row, at_end), head_row(r.head_row, at_end);
  Guarded<float> x(r.x, at_end), state(r.state, at_end);
  op.run(k, dots.data(), q.data(), row.data(), head_row.data(), r.n, r.lanes, x.data(), state.data());
  return {x.get(), state.get()};
}

// Scores within e^-90 of the maximum for exp_rows; or, where no bound need hold, everything that a float can be.
Rows random_rows(int32_t n, int32_t lanes, bool is_odd, Random* random) {
  const float odd[] = {kInf, -kInf, kNan, 3.4028235e38f, 1.4e-45f, 0.0f, -0.0f};
  const auto number = [&](float low, float high) {
    return is_odd && random->engine() % 8 == 0 ? odd[random->engine() % std::size(odd)] : random->uniform(low, high);
  };
  Rows r{n, lanes, {}, {}, {}, {}, {}, {}};
  for (int32_t i = 0; i < n * lanes; ++i) {
    r.x.push_back(number(-80, 10));
    r.head_row.push_back(number(-1, 1));
    r.dots.push_back(int32_t(random->engine()) >> random->engine() % 32);
  }
  for (int32_t h = 0; h < lanes; ++h) {
    r.q.push_back(number(-1, 1));
    r.state.push_back(number(9, 11));
  }
  for (int32_t i = 0; i < n; ++i) r.row.push_back(number(-1, 1));
  return r;
}

void check_bounds(const Rows& r, const RowOp& op, const Changed& got) {
  bool is_near = true;
  for (int32_t i = 0; i <= r.n; ++i) {
    for (int32_t h = 0; h < r.lanes; ++h) {
      double bound = 0;
      const double exact = op.exact(r, i, h, &bound);
      const float value = i == r.n ? got.state[size_t(h)] : got.x[size_t(i * r.lanes + h)];
      is_near = is_near && std::fabs(double(value) - exact) <= bound;
    }
  }
  CHECK(is_near);
}

}  // namespace

TEST_CASE("scores, maxima and exponentials of heads in lanes, on every tier") {
  Random random;
  CAPTURE(random.seed);
  for (const RowOp& op : kRowOps) {
    CAPTURE(std::string(op.name));
    for (const int32_t lanes : {16, 48}) {
      CAPTURE(lanes);
      for (int32_t n = 1; n <= 20; n += lanes == 16 ? 1 : 5) {
        CAPTURE(n);
        for (const bool is_odd : {false, true}) {
          CAPTURE(is_odd);
          const Rows r = random_rows(n, lanes, is_odd, &random);
          const Changed expected = run_at(op, scalar(), r, false);
          if (!is_odd) check_bounds(r, op, expected);
          for_each_tier([&](const Kernels& k) {
            for (const bool at_end : {false, true}) {
              const Changed got = run_at(op, k, r, at_end);
              CHECK(same(got.x, expected.x));
              CHECK(same(got.state, expected.state));
            }
          });
        }
      }
    }
  }
}

TEST_CASE("weights in one pass as in three, on every tier") {
  Random random;
  CAPTURE(random.seed);
  for (const int32_t lanes : {16, 64}) {
    CAPTURE(lanes);
    for (int32_t i = 0; i < 40; ++i) {
      const int32_t n = 1 + i / 2;
      const bool is_odd = i % 2 == 1;
      CAPTURE(n);
      CAPTURE(is_odd);
      const Rows r = random_rows(n, lanes, is_odd, &random);
      Floats x = r.x, max = r.state, sum(size_t(lanes), 1.5f);
      scalar().max_rows(x.data(), n, lanes, max.data());
      scalar().exp_rows(x.data(), max.data(), n, lanes, sum.data());
      scalar().scale_rows(x.data(), r.row.data(), n, lanes, x.data());
      for_each_tier([&](const Kernels& k) {
        for (const bool at_end : {false, true}) {
          Guarded<float> got(r.x, at_end), row(r.row, at_end), got_max(r.state, at_end);
          Guarded<float> got_sum(Floats(size_t(lanes), 1.5f), at_end);
          k.weigh_rows(got.data(), row.data(), n, lanes, got_max.data(), got_sum.data());
          CHECK(same(got.get(), x));
          CHECK(same(got_max.get(), max));
          CHECK(same(got_sum.get(), sum));
        }
      });
    }
  }
}

TEST_CASE("rows of heads scaled into another array, on every tier") {
  Random random;
  CAPTURE(random.seed);
  for (int32_t n = 1; n <= 20; ++n) {
    const Rows r = random_rows(n, 16, false, &random);
    for_each_tier([&](const Kernels& k) {
      for (const bool at_end : {false, true}) {
        Guarded<float> x(r.x, at_end), row(r.row, at_end), out(r.x.size(), at_end);
        k.scale_rows(x.data(), row.data(), n, 16, out.data());
        CHECK(same(x.get(), r.x));
        for (size_t i = 0; i < r.x.size(); ++i) CHECK(out[i] == r.x[i] * r.row[i / 16]);
      }
    });
  }
}

TEST_CASE("halves and scales widened, on every tier") {
  Random random;
  CAPTURE(random.seed);
  std::vector<uint16_t> all;
  for (uint32_t h = 0; h < 65536; ++h) all.push_back(uint16_t(h));
  const auto check = [](const std::vector<uint16_t>& halves, bool at_end) {
    Floats expected, scales;
    for (const uint16_t h : halves) expected.push_back(half_to_float(h));
    for (const uint16_t h : halves) scales.push_back(scale_to_float(h));
    Guarded<uint16_t> in(halves, at_end);
    for_each_tier([&](const Kernels& k) {
      Guarded<float> out(halves.size(), at_end);
      k.widen_halves(in.data(), int32_t(halves.size()), out.data());
      CHECK(same(out.get(), expected));
      k.widen_scales(in.data(), int32_t(halves.size()), out.data());
      CHECK(same(out.get(), scales));
    });
  };
  check(all, true);
  for (int32_t n = 1; n <= 40; ++n) {
    std::vector<uint16_t> halves;
    for (int32_t i = 0; i < n; ++i) halves.push_back(uint16_t(random.engine()));
    for (const bool at_end : {false, true}) check(halves, at_end);
  }
}

namespace {

// What quantisation with one scale makes of these values, in the words of its contract.
struct Quantised {
  float scale;
  std::vector<int8_t> q;
};

Quantised quantise(const Floats& values) {
  uint32_t bits = 0;  // of the largest magnitude; NaN lies above infinity
  for (const float x : values) {
    uint32_t magnitude;
    std::memcpy(&magnitude, &x, sizeof x);
    bits = std::max(bits, magnitude & 0x7fffffffu);
  }
  float largest;
  std::memcpy(&largest, &bits, sizeof bits);
  const float inverse = 127.0f / largest;
  if (!std::isfinite(largest)) return {largest, std::vector<int8_t>(values.size())};
  if (!(inverse < 3.4e38f)) return {0, std::vector<int8_t>(values.size())};
  Quantised out{largest / 127.0f, {}};
  for (const float x : values) out.q.push_back(int8_t(std::nearbyint(x * inverse)));
  return out;
}

template <typename F>
void check_quantised(const Quantised& expected, bool at_end, const F& run) {
  Guarded<int8_t> q(expected.q.size(), at_end);
  const Floats scale = {run(q.data())};
  CHECK(same(scale, {expected.scale}));
  CHECK(q.get() == expected.q);
}

}  // namespace

TEST_CASE("products and dots quantised without being kept, on every tier") {
  Random random;
  CAPTURE(random.seed);
  for (int32_t n = 1; n <= 140; ++n) {
    CAPTURE(n);
    const double largest = n % 3 == 0 ? 1e38 : 10;  // products overflow now and then
    Floats m, d, products, scaled;
    std::vector<int8_t> g;
    std::vector<int32_t> dots;
    for (int32_t i = 0; i < n; ++i) {
      const bool is_zero = n % 7 == 0;
      m.push_back(is_zero ? 0.0f : n % 5 == 0 && random.engine() % 8 == 0 ? kNan : random.any(largest));
      g.push_back(value_of(Values::any, false, 0, &random));
      dots.push_back(is_zero ? 0 : int32_t(random.engine()) >> random.engine() % 32);
      if (i % 32 == 0) d.push_back(n % 11 == 0 ? kInf : random.any(largest));
      products.push_back(m.back() * float(g.back()));
      scaled.push_back(float(dots.back()) * d.back());
    }
    const Quantised of_products = quantise(products), of_scaled = quantise(scaled);
    for (const bool at_end : {false, true}) {
      Guarded<float> m_in(m, at_end), d_in(d, at_end);
      Guarded<int8_t> g_in(g, at_end);
      Guarded<int32_t> dots_in(dots, at_end);
      for_each_tier([&](const Kernels& k) {
        check_quantised(of_products, at_end,
                        [&](int8_t* q) { return k.quantize_product(m_in.data(), g_in.data(), n, q); });
        check_quantised(of_scaled, at_end,
                        [&](int8_t* q) { return k.quantize_dots(dots_in.data(), d_in.data(), n, q); });
      });
    }
  }
}

TEST_CASE("rows and blocks quantised, on every tier") {
  Random random;
  CAPTURE(random.seed);
  for (int32_t n = 1; n <= 200; ++n) {
    CAPTURE(n);
    const float odd[] = {kNan, -kNan, kInf, -kInf, 1.4e-45f, -3.4028235e38f};
    for (int32_t kind = 0; kind < 6; ++kind) {
      CAPTURE(kind);
      Floats x;
      const double largest = std::exp2(random.uniform(-148, 127));
      for (int32_t i = 0; i < n; ++i) {
        // Halves of steps among whole ones, which go to even; zeros; everything.
        const float step = 0.5f * float(int32_t(random.engine() % 509) - 254);
        x.push_back(kind == 0 ? step : kind == 1 ? 0.0f * random.sign() : random.any(largest));
      }
      if (kind == 0) x[random.engine() % size_t(n)] = 127;
      if (kind == 3) x[random.engine() % size_t(n)] = odd[random.engine() % std::size(odd)];
      const Quantised expected = quantise(x);
      Floats scales;
      std::vector<int8_t> of_blocks;
      for (int32_t b = 0; b < n / 32; ++b) {
        const Quantised block = quantise({x.begin() + 32 * b, x.begin() + 32 * b + 32});
        scales.push_back(block.scale);
        of_blocks.insert(of_blocks.end(), block.q.begin(), block.q.end());
      }
      for (const bool at_end : {false, true}) {
        Guarded<float> in(x, at_end);
        for_each_tier([&](const Kernels& k) {
          check_quantised(expected, at_end, [&](int8_t* q) { return k.quantize_row(in.data(), n, q); });
          if (n % 32 != 0) return;
          Guarded<int8_t> q(size_t(n), at_end);
          Guarded<float> d(size_t(n / 32), at_end);
          k.quantize_blocks(in.data(), n, q.data(), d.data());
          CHECK(same(d.get(), scales));
          CHECK(q.get() == of_blocks);
        });
      }
    }
  }
}

TEST_CASE("gated sums, on every tier") {
  Random random;
  CAPTURE(random.seed);
  for (int32_t n = 1; n <= 80; ++n) {
    CAPTURE(n);
    std::vector<int8_t> g;
    Floats y, out, expected;
    const float s = random.any(1e3);
    for (int32_t i = 0; i < n; ++i) {
      g.push_back(int8_t(random.engine()));
      y.push_back(random.any(1e3));
      out.push_back(random.any(1e3));
      const float gate = s * float(g.back());
      expected.push_back(std::fma(gate, y.back(), out.back()));
      // The gate rounds, then the fma.
      const double product = double(s) * g.back() * double(y.back()), exact = product + double(out.back());
      CHECK(std::fabs(double(expected.back()) - exact) <=
            1.01 * u * (std::fabs(product) + std::fabs(exact)) + tiny * (1 + std::fabs(double(y.back()))));
    }
    for (const bool at_end : {false, true}) {
      Guarded<int8_t> g_in(g, at_end);
      Guarded<float> y_in(y, at_end);
      for_each_tier([&](const Kernels& k) {
        Guarded<float> sums(out, at_end);
        k.gated_sum(g_in.data(), y_in.data(), s, n, sums.data());
        CHECK(same(sums.get(), expected));
      });
    }
  }
}
