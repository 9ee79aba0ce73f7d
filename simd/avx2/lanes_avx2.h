// The 16-lane value as two xsimd batches of 8. Included inside the tier's anonymous namespace.

using Batch = xsimd::batch<float, xsimd::fma3<xsimd::avx2>>;

struct Lanes {
  Batch low, high;
};

Lanes load(const float* x) { return {Batch::load_unaligned(x), Batch::load_unaligned(x + 8)}; }
void store(const Lanes& a, float* x) {
  a.low.store_unaligned(x);
  a.high.store_unaligned(x + 8);
}
Lanes splat(float x) { return {Batch(x), Batch(x)}; }
Lanes operator+(const Lanes& a, const Lanes& b) { return {a.low + b.low, a.high + b.high}; }
Lanes operator-(const Lanes& a, const Lanes& b) { return {a.low - b.low, a.high - b.high}; }
Lanes operator*(const Lanes& a, const Lanes& b) { return {a.low * b.low, a.high * b.high}; }
Lanes operator/(const Lanes& a, const Lanes& b) { return {a.low / b.low, a.high / b.high}; }
Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
  return {xsimd::fma(a.low, b.low, c.low), xsimd::fma(a.high, b.high, c.high)};
}
Lanes min(const Lanes& a, const Lanes& b) { return {xsimd::min(a.low, b.low), xsimd::min(a.high, b.high)}; }
Lanes max(const Lanes& a, const Lanes& b) { return {xsimd::max(a.low, b.low), xsimd::max(a.high, b.high)}; }
Lanes abs(const Lanes& a) { return {xsimd::abs(a.low), xsimd::abs(a.high)}; }
Lanes nearest(const Lanes& a) {
  const Lanes shift = splat(12582912.0f);
  return (a + shift) - shift;
}
Batch scale_by_power(const Batch& a, const Batch& n) {
  return a * xsimd::bitwise_cast<Batch>((xsimd::to_int(n) + 127) << 23);
}
Lanes scale_by_power(const Lanes& a, const Lanes& n) {
  return {scale_by_power(a.low, n.low), scale_by_power(a.high, n.high)};
}
Lanes select_greater(const Lanes& a, const Lanes& b, const Lanes& x, const Lanes& y) {
  return {xsimd::select(a.low > b.low, x.low, y.low), xsimd::select(a.high > b.high, x.high, y.high)};
}
