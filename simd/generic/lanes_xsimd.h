// The 16-lane value as 16 / Batch::size batches of xsimd. A tier includes this file, in its anonymous namespace, after naming
// its `Batch` of floats; minimum(a, b) and maximum(a, b), whose second operand wins where one is NaN; widen(x, part), which makes
// floats of 16 int8, int32 or fp16 (bits); and larger_magnitude(a, b), largest(part) and narrow(part, q), which do for batches
// what generic/quantize_kernels.h says. No include guard: one inclusion per tier.

constexpr int32_t kParts = 16 / int32_t(Batch::size);

// Lanes of sums that stay in registers beside what is added to them: their chains of fma hide each other's latency. And heads at
// once: those that share what is added, which is converted once for all of them, and those with parts of their own, four lanes each.
constexpr int32_t kLanesInFlight = kParts == 1 ? 16 : kParts == 2 ? 6 : 4;
constexpr int32_t kSharingHeads = kParts == 2 ? 6 : 4, kOwnHeads = kParts == 1 ? 2 : 1;
// Rows of long chains of operations at once, likewise.
constexpr int32_t kRowsInFlight = 4 / kParts;

struct Lanes {
  Batch part[kParts];
};

template <typename F>
Lanes each(F f) {
  Lanes out;
  for (int32_t i = 0; i < kParts; ++i) out.part[i] = f(i);
  return out;
}

Lanes load(const float* x) {
  return each([=](int32_t i) { return Batch::load_unaligned(x + i * int32_t(Batch::size)); });
}
Lanes load_i8(const int8_t* x) {
  Lanes out;
  widen(x, out.part);
  return out;
}
Lanes load_i32(const int32_t* x) {
  Lanes out;
  widen(x, out.part);
  return out;
}
Lanes load_halves(const uint16_t* x) {
  Lanes out;
  widen(x, out.part);
  return out;
}
void store(const Lanes& a, float* x) {
  for (int32_t i = 0; i < kParts; ++i) a.part[i].store_unaligned(x + i * int32_t(Batch::size));
}
Lanes splat(float x) {
  return each([=](int32_t) { return Batch(x); });
}
Lanes operator+(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.part[i] + b.part[i]; });
}
Lanes operator-(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.part[i] - b.part[i]; });
}
Lanes operator*(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return a.part[i] * b.part[i]; });
}
Lanes operator/(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return quotient(a.part[i], b.part[i]); });
}
Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
  return each([&](int32_t i) { return fused(a.part[i], b.part[i], c.part[i]); });
}
Lanes min(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return minimum(a.part[i], b.part[i]); });
}
Lanes max(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return maximum(a.part[i], b.part[i]); });
}
Lanes abs(const Lanes& a) {
  return each([&](int32_t i) { return xsimd::abs(a.part[i]); });
}
Lanes scale_by_power(const Lanes& a, const Lanes& s) {
  return each([&](int32_t i) {
    xsimd::batch<int32_t, Batch::arch_type> bits;  // xsimd's bitwise_cast leaves weak symbols behind on ARM
    Batch power;
    static_assert(sizeof bits == sizeof power);
    __builtin_memcpy(&bits, &s.part[i], sizeof bits);
    bits = (bits << 23) + 0x3f800000;
    __builtin_memcpy(&power, &bits, sizeof power);
    return a.part[i] * power;
  });
}
Lanes select_greater(const Lanes& a, const Lanes& b, const Lanes& x, const Lanes& y) {
  return each([&](int32_t i) { return xsimd::select(a.part[i] > b.part[i], x.part[i], y.part[i]); });
}
Lanes larger_magnitudes(const Lanes& a, const Lanes& b) {
  return each([&](int32_t i) { return larger_magnitude(a.part[i], b.part[i]); });
}
float largest_lane(const Lanes& a) { return largest(a.part); }
void store_i8(const Lanes& a, int8_t* q) { narrow(a.part, q); }
