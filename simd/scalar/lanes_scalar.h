// The 16-lane value in plain C++: the oracle of the other tiers. Included inside the tier's anonymous namespace.

constexpr int32_t kLanesInFlight = 4, kSharingHeads = 4, kOwnHeads = 1, kRowsInFlight = 1;

struct Lanes {
  float v[16];
};

template <typename F>
Lanes each(F f) {
  Lanes out;
  for (int32_t i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}

Lanes load(const float* x) {
  return each([=](int32_t i) { return x[i]; });
}
Lanes load_i8(const int8_t* x) {
  return each([=](int32_t i) { return float(x[i]); });
}
Lanes load_i32(const int32_t* x) {
  return each([=](int32_t i) { return float(x[i]); });
}
Lanes load_halves(const uint16_t* x) {
  return each([=](int32_t i) { return half_to_float(x[i]); });
}
void store(Lanes a, float* x) {
  for (int32_t i = 0; i < 16; ++i) x[i] = a.v[i];
}
Lanes splat(float x) {
  return each([=](int32_t) { return x; });
}
Lanes operator+(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.v[i] + b.v[i]; });
}
Lanes operator-(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.v[i] - b.v[i]; });
}
Lanes operator*(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.v[i] * b.v[i]; });
}
Lanes operator/(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.v[i] / b.v[i]; });
}
Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
  return each([&](int32_t i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
// As the vector instructions of x86 define them for NaN: the second operand wins.
Lanes min(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
Lanes max(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
Lanes abs(const Lanes& a) {
  return each([&](int32_t i) { return __builtin_fabsf(a.v[i]); });
}
Lanes scale_by_power(const Lanes& a, const Lanes& s) {
  return each([&](int32_t i) {
    uint32_t bits;
    float power;
    __builtin_memcpy(&bits, &s.v[i], sizeof bits);
    bits = (bits << 23) + 0x3f800000;
    __builtin_memcpy(&power, &bits, sizeof power);
    return a.v[i] * power;
  });
}
Lanes select_greater(const Lanes& a, const Lanes& b, const Lanes& x, const Lanes& y) {
  return each([&](int32_t i) { return a.v[i] > b.v[i] ? x.v[i] : y.v[i]; });
}
Lanes larger_magnitudes(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) {
    uint32_t bits, other;
    __builtin_memcpy(&bits, &a.v[i], sizeof bits);
    __builtin_memcpy(&other, &b.v[i], sizeof other);
    bits &= 0x7fffffffu;
    const uint32_t larger = bits > other ? bits : other;
    float magnitude;
    __builtin_memcpy(&magnitude, &larger, sizeof magnitude);
    return magnitude;
  });
}
float largest_lane(const Lanes& a) {
  uint32_t bits[16], largest = 0;
  __builtin_memcpy(bits, a.v, sizeof bits);
  for (const uint32_t b : bits) largest = b > largest ? b : largest;
  float magnitude;
  __builtin_memcpy(&magnitude, &largest, sizeof magnitude);
  return magnitude;
}
void store_i8(const Lanes& a, int8_t* q) {
  constexpr float kShift = 0x1.8p23f;  // where floats lie 1 apart
  for (int32_t i = 0; i < 16; ++i) q[i] = int8_t(int32_t((a.v[i] + kShift) - kShift));
}
