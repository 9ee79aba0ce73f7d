// The float kernels, written once over a 16-lane value. A tier includes this file after defining, in its own anonymous
// namespace, `struct Lanes` (16 floats) and its operations:
//   load, store, splat; + - * /; fma(a, b, c); min, max: the second operand wins where one is NaN; sqrt; abs;
//   scale_by_power(x, s): x * 2^n for s = 1.5 * 2^23 + n, n integral within -126 .. 127; NaN for x NaN;
//   select_greater(a, b, x, y): a > b ? x : y per lane
// and int32_t kRowsInFlight: chains of dependent operations that should run side by side.
// All of them are exact or correctly rounded, so every tier computes the same bits.
//
// Errors of the functions, measured against float64 over their whole range (tests/ops_test.cpp holds them to it):
//   exp: 2 ulp; 0 below -87.33, where the result would be denormal; at most e^88.37 above
//   sin, cos of a phase: 2^-23 absolute;  erf: 5e-7 absolute
// No include guard: one inclusion per tier.

constexpr int32_t kLanes = 16;

// Loads n <= 16 elements, zeros beyond.
Lanes load_tail(const float* x, int32_t n) {
  float padded[kLanes] = {};
  for (int32_t i = 0; i < n; ++i) padded[i] = x[i];
  return load(padded);
}

void store_tail(Lanes v, float* x, int32_t n) {
  float padded[kLanes];
  store(v, padded);
  for (int32_t i = 0; i < n; ++i) x[i] = padded[i];
}

// The fixed tree: 16 -> 8 -> 4 -> 2 -> 1, upper half added to the lower.
float tree_sum(Lanes v) {
  float a[kLanes];
  store(v, a);
  for (int32_t half = kLanes / 2; half > 0; half /= 2) {
    for (int32_t i = 0; i < half; ++i) a[i] = a[i] + a[i + half];
  }
  return a[0];
}

// out[i] = f(inputs[i]...) for all i.
template <typename F>
void map(const float* x, int32_t n, float* out, F f) {
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(f(load(x + i)), out + i);
  if (i < n) store_tail(f(load_tail(x + i, n - i)), out + i, n - i);
}
template <typename F>
void map(const float* x, const float* y, int32_t n, float* out, F f) {
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(f(load(x + i), load(y + i)), out + i);
  if (i < n) store_tail(f(load_tail(x + i, n - i), load_tail(y + i, n - i)), out + i, n - i);
}

// tree_sum of acc, where acc = f(x[i], acc) lane by lane. f must map (0, acc) to acc.
template <typename F>
float reduce(const float* x, int32_t n, F f) {
  Lanes acc = splat(0);
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) acc = f(load(x + i), acc);
  if (i < n) acc = f(load_tail(x + i, n - i), acc);
  return tree_sum(acc);
}

// e^x: x = n ln 2 + r with |r| <= ln 2 / 2, then a polynomial of degree 7 whose coefficients are the Taylor series'
// (remainder r^8 / 8! < 5.3e-9 relative), ln 2 in two parts so that r is exact to the last bit. NaN gives NaN: of min and
// max the second operand stays. All x side by side: one chain of two dozen operations keeps a core waiting.
template <size_t n_rows>
PITH_INLINE void exp_each(Lanes (&x)[n_rows]) {
  constexpr float kCoefficients[] = {
      1.38888889e-3f, 8.33333333e-3f, 4.16666667e-2f, 1.66666667e-1f, 5.00000000e-1f, 1, 1};
  const Lanes low = splat(-87.33f), high = splat(88.37f);
  const Lanes shift = splat(0x1.8p23f);  // where floats lie 1 apart: adding it rounds to even
  Lanes shifted[n_rows], r[n_rows], p[n_rows];
  PITH_UNROLL
  for (size_t i = 0; i < n_rows; ++i) {
    r[i] = min(high, max(low, x[i]));
    shifted[i] = r[i] * splat(1.44269504f) + shift;
  }
  PITH_UNROLL
  for (size_t i = 0; i < n_rows; ++i) {
    const Lanes n = shifted[i] - shift;
    r[i] = fma(n, splat(2.12194440e-4f), fma(n, splat(-0.693359375f), r[i]));
    p[i] = splat(1.98412698e-4f);
  }
  PITH_UNROLL
  for (size_t k = 0; k < sizeof kCoefficients / sizeof kCoefficients[0]; ++k) {
    PITH_UNROLL
    for (size_t i = 0; i < n_rows; ++i) p[i] = fma(p[i], r[i], splat(kCoefficients[k]));
  }
  PITH_UNROLL
  for (size_t i = 0; i < n_rows; ++i) x[i] = select_greater(low, x[i], splat(0), scale_by_power(p[i], shifted[i]));
}

Lanes exp_lanes(Lanes x) {
  Lanes all[] = {x};
  exp_each(all);
  return all[0];
}

void rmsnorm(const float* x, const float* gamma, float eps, int32_t n, float* out) {
  const float mean = reduce(x, n, [](Lanes v, Lanes acc) { return fma(v, v, acc); }) / float(n);
  const Lanes s = splat(1.0f / __builtin_sqrtf(mean + eps));
  if (gamma == nullptr) map(x, n, out, [=](Lanes v) { return v * s; });
  else map(x, gamma, n, out, [=](Lanes v, Lanes g) { return (v * s) * g; });
}

float sum(const float* x, int32_t n) {
  return reduce(x, n, [](Lanes v, Lanes acc) { return acc + v; });
}

float sum_squares(const float* x, float center, int32_t n) {
  const Lanes c = splat(center);
  Lanes acc = splat(0);
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes v = load(x + i) - c;
    acc = fma(v, v, acc);
  }
  if (i < n) {
    float rest[kLanes] = {};
    for (int32_t j = i; j < n; ++j) rest[j - i] = x[j] - center;
    const Lanes v = load(rest);
    acc = fma(v, v, acc);
  }
  return tree_sum(acc);
}

void shift_scale(const float* x, float shift, float s, int32_t n, float* out) {
  const Lanes shift_f32x16 = splat(shift), s_f32x16 = splat(s);
  map(x, n, out, [=](Lanes v) { return (v - shift_f32x16) * s_f32x16; });
}

void layernorm(const float* x, const float* gamma, const float* beta, float eps, int32_t n, float* out) {
  const float mean = sum(x, n) / float(n);
  const float variance = sum_squares(x, mean, n) / float(n);
  shift_scale(x, mean, 1.0f / __builtin_sqrtf(variance + eps), n, out);
  if (gamma != nullptr) map(out, gamma, n, out, [](Lanes v, Lanes g) { return v * g; });
  if (beta != nullptr) map(out, beta, n, out, [](Lanes v, Lanes b) { return v + b; });
}

float dot(const float* a, const float* b, int32_t n) {
  Lanes acc = splat(0);
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) acc = fma(load(a + i), load(b + i), acc);
  if (i < n) acc = fma(load_tail(a + i, n - i), load_tail(b + i, n - i), acc);
  return tree_sum(acc);
}

void axpy(float s, const float* x, int32_t n, float* y) {
  const Lanes s_f32x16 = splat(s);
  map(x, y, n, y, [=](Lanes v, Lanes w) { return fma(s_f32x16, v, w); });
}

void multiply(const float* a, const float* b, int32_t n, float* out) {
  map(a, b, n, out, [](Lanes v, Lanes w) { return v * w; });
}

void add(const float* a, const float* b, int32_t n, float* out) {
  map(a, b, n, out, [](Lanes v, Lanes w) { return v + w; });
}

PITH_FLAT float exp_sum(float* x, float max, int32_t n) {
  const Lanes max_f32x16 = splat(max);
  Lanes acc = splat(0);
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes e = exp_lanes(load(x + i) - max_f32x16);
    store(e, x + i);
    acc = acc + e;
  }
  if (i < n) {
    store_tail(exp_lanes(load_tail(x + i, n - i) - max_f32x16), x + i, n - i);
    acc = acc + load_tail(x + i, n - i);
  }
  return tree_sum(acc);
}

float max_element(const float* x, int32_t n) {
  float best = x[0];
  for (int32_t i = 1; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

void rope_pairs(const float* cosine, const float* sine, int32_t n, float* x) {
  for (int32_t i = 0; i < n; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = __builtin_fmaf(a, cosine[i], -(b * sine[i]));
    x[2 * i + 1] = __builtin_fmaf(a, sine[i], b * cosine[i]);
  }
}

void rope_halves(const float* cosine, const float* sine, int32_t n, float* x) {
  for (int32_t i = 0; i < n; ++i) {
    const float a = x[i], b = x[n + i];
    x[i] = __builtin_fmaf(a, cosine[i], -(b * sine[i]));
    x[n + i] = __builtin_fmaf(a, sine[i], b * cosine[i]);
  }
}

// A phase in turns of 2^-64 keeps 32 bits: the quarter turn nearest to it, and a rest within an eighth of a turn, whose
// sine and cosine are the Taylor polynomials of degree 9 and 8 (remainders below 2e-9 and 3e-8).
void rope_angles(const uint64_t* turns, uint64_t position, int32_t n, float* cosine, float* sine) {
  for (int32_t i = 0; i < n; ++i) {
    const uint32_t phase = uint32_t((turns[i] * position) >> 32);
    const uint32_t quarter = (phase + 0x20000000u) >> 30;
    const float x = float(int32_t(phase - (quarter << 30))) * 1.46291808e-9f;  // 2 pi / 2^32 radians
    const float z = x * x;
    float s = 2.75573192e-6f, c = 2.48015873e-5f;
    s = __builtin_fmaf(s, z, -1.98412698e-4f);
    s = __builtin_fmaf(s, z, 8.33333333e-3f);
    s = __builtin_fmaf(s, z, -1.66666667e-1f);
    s = __builtin_fmaf(s * z, x, x);
    c = __builtin_fmaf(c, z, -1.38888889e-3f);
    c = __builtin_fmaf(c, z, 4.16666667e-2f);
    c = __builtin_fmaf(c, z, -5.00000000e-1f);
    c = __builtin_fmaf(c, z, 1.0f);
    const bool swapped = (quarter & 1) != 0;
    const float sin_abs = swapped ? c : s, cos_abs = swapped ? s : c;
    sine[i] = (quarter & 2) != 0 ? -sin_abs : sin_abs;
    cosine[i] = ((quarter + 1) & 2) != 0 ? -cos_abs : cos_abs;
  }
}

// silu(x) = x / (1 + e^-x)
PITH_FLAT void silu_multiply(const float* gate, const float* up, int32_t n, float* out) {
  map(gate, up, n, out, [](Lanes g, Lanes u) { return (g / (splat(1) + exp_lanes(splat(0) - g))) * u; });
}

void relu2(const float* x, int32_t n, float* out) {
  map(x, n, out, [](Lanes v) {
    const Lanes positive = max(splat(0), v);  // in this order NaN stays
    return positive * positive;
  });
}

// x / 2 (1 + tanh(y)) = x / (1 + e^-2y), y = sqrt(2 / pi) (x + 0.044715 x^3)
PITH_FLAT void gelu_tanh(const float* x, int32_t n, float* out) {
  map(x, n, out, [](Lanes v) {
    const Lanes y = fma(splat(0.044715f) * (v * v), v, v) * splat(-1.59576912f);
    return v / (splat(1) + exp_lanes(y));
  });
}

// x / 2 (1 + erf(x / sqrt 2)); erf by Abramowitz and Stegun 7.1.26 on |x|, odd by sign.
PITH_FLAT void gelu_erf(const float* x, int32_t n, float* out) {
  map(x, n, out, [](Lanes v) {
    const Lanes y = v * splat(0.707106781f), a = abs(y);
    const Lanes t = splat(1) / fma(splat(0.3275911f), a, splat(1));
    Lanes p = splat(1.061405429f);
    p = fma(p, t, splat(-1.453152027f));
    p = fma(p, t, splat(1.421413741f));
    p = fma(p, t, splat(-0.284496736f));
    p = fma(p, t, splat(0.254829592f));
    const Lanes tail = (p * t) * exp_lanes(splat(0) - a * a);  // 1 - erf(|y|)
    const Lanes half = v * splat(0.5f);
    return select_greater(y, splat(0), half * (splat(2) - tail), half * tail);
  });
}

int all_finite(const float* x, int32_t n) {
  uint32_t bad = 0;
  for (int32_t i = 0; i < n; ++i) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x[i], sizeof bits);
    bad |= uint32_t((bits & 0x7f800000u) == 0x7f800000u);
  }
  return bad == 0;
}
