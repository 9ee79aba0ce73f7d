#include "quantizer.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "half.h"

namespace pith::quantize {
namespace {

constexpr int kLanes = 8;   // partial sums of a block, in a fixed order
constexpr int kTrials = 6;  // candidate scales a side of the one that maps the largest value to an end of the range
constexpr float kTrialStep = 0.2f;  // in codes: halving it gains 0.01 % of the error
constexpr int kRounds = 3;          // least-squares refinements of the best candidate

using Values = float[kBlockCols];
using Lanes = float __attribute__((vector_size(kLanes * sizeof(float))));  // GCC and clang map it to what the CPU has

// Rounds to the nearest integer, halves to even; |x| < 2^22 and 2^51. The classic addition of 1.5 * 2^(mantissa bits).
constexpr float kRounding = 12582912.0f;
double nearest_even(double x) { return (x + 6755399441055744.0) - 6755399441055744.0; }

bool is_infinite(uint16_t half) { return (half & 0x7c00u) == 0x7c00u; }

float largest(const Values& x) {
  float best = 0;
  for (const float v : x) {
    if (std::fabs(v) > std::fabs(best)) best = v;
  }
  return best;
}

// Codes for the scale d: the nearest of [low, high] for every value.
void encode(const Values& x, uint16_t half, double low, double high, int8_t (&q)[kBlockCols]) {
  const double d = double(half_to_float(half));
  for (int i = 0; i < kBlockCols; ++i)
    q[i] = d == 0 ? int8_t(0) : int8_t(nearest_even(std::min(std::max(double(x[i]) / d, low), high)));
}

// A fixed tree over the lanes.
template <typename T>
auto total(const T& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

double squared_error(const Values& x, const BlockCodes& codes) {
  const double d = double(half_to_float(codes.d));
  double lanes[kLanes] = {};
  for (int i = 0; i < kBlockCols; ++i) {
    const double e = double(x[i]) - d * codes.q[i];
    lanes[i % kLanes] += e * e;
  }
  return total(lanes);
}

// The scale that minimises the squared error for given codes: sum x q / sum q^2.
float best_scale(const Values& x, const BlockCodes& codes) {
  double xq[kLanes] = {}, qq[kLanes] = {};
  for (int i = 0; i < kBlockCols; ++i) {
    xq[i % kLanes] += double(x[i]) * codes.q[i];
    qq[i % kLanes] += double(codes.q[i]) * codes.q[i];
  }
  return total(qq) == 0 ? 0 : float(total(xq) / total(qq));
}

// By how much the codes round(y * inverse) in -8..7, at their best scale, lower the squared error of y below sum y^2:
// (sum y q)^2 / sum q^2. y: within -1..1.
float error_reduction(const Values& y, float inverse) {
  Lanes yq = {}, qq = {};
  for (int b = 0; b < kBlockCols; b += kLanes) {
    Lanes v;
    std::memcpy(&v, y + b, sizeof v);
    Lanes q = v * inverse;
    q = q < -8.0f ? Lanes{} - 8.0f : q > 7.0f ? Lanes{} + 7.0f : q;
    q = (q + kRounding) - kRounding;
    yq += v * q;
    qq += q * q;
  }
  const float sum = total(qq);
  return sum == 0 ? 0 : total(yq) * total(yq) / sum;
}

// The best of the candidate inverse scales, which map the largest value near -8 or near 7.
float best_inverse(const Values& y) {
  float best = 0, best_reduction = -1;
  for (int t = -kTrials; t <= kTrials; ++t) {
    for (const float end : {-8.0f, 7.0f}) {
      const float inverse = end + std::copysign(kTrialStep * float(t), end), reduction = error_reduction(y, inverse);
      if (reduction > best_reduction) {
        best_reduction = reduction;
        best = inverse;
      }
    }
  }
  return best;
}

// Calls visit(row, block, blocks, values) for all rows and blocks of the padded matrix; a panel stays on one thread.
template <typename Visit>
void for_each_block(const float* w, int64_t rows, int64_t cols, const Visit& visit) {
  const int32_t blocks = int32_t(padded_cols(cols) / kBlockCols);
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
  for (int64_t panel = 0; panel < padded_rows(rows) / kPanelRows; ++panel) {
    for (int64_t row = panel * kPanelRows; row < (panel + 1) * kPanelRows; ++row) {
      for (int32_t b = 0; b < blocks; ++b) {
        Values x = {};
        const int64_t first = int64_t(b) * kBlockCols, n = std::min<int64_t>(kBlockCols, cols - first);
        if (row < rows) std::memcpy(x, w + row * cols + first, size_t(n) * sizeof(float));
        visit(row, b, blocks, x);
      }
    }
  }
}

void store_q4(const BlockCodes& codes, int64_t row, int32_t b, int32_t blocks, uint8_t* panel) {
  const BlockPlace place = q4_place(b, blocks);
  const int32_t r = int32_t(row % kPanelRows);
  for (int32_t p = 0; p < 2; ++p) {
    for (int32_t i = 0; i < 8; ++i) {
      const int low = codes.q[8 * p + i] + 8, high = codes.q[16 + 8 * p + i] + 8;
      panel[place.q + size_t(64 * p + 8 * kLaneOfRow[r] + i)] = uint8_t(low | high << 4);
    }
  }
  std::memcpy(panel + place.d + 2 * r, &codes.d, sizeof codes.d);
}

void store_q8(const BlockCodes& codes, int64_t row, int32_t b, int32_t blocks, uint8_t* panel) {
  const BlockPlace place = q8_place(b, blocks);
  const int32_t r = int32_t(row % kPanelRows);
  for (int32_t p = 0; p < 4; ++p) std::memcpy(panel + place.q + 64 * p + 8 * kLaneOfRow[r], codes.q + 8 * p, 8);
  std::memcpy(panel + place.d + 2 * r, &codes.d, sizeof codes.d);
}

void store_f32(const Values& x, int64_t row, int32_t b, uint8_t* panel) {
  for (int32_t i = 0; i < kBlockCols; ++i) {
    const size_t at = (size_t(b * kBlockCols + i) * kPanelRows + size_t(row % kPanelRows)) * sizeof(float);
    std::memcpy(panel + at, &x[i], sizeof(float));
  }
}

}  // namespace

// With a normal fp16 scale the largest code is 127. A subnormal one is so coarse that the rounded scale may put the largest
// value elsewhere: above, it is clamped to 127; below, it goes up by one where its product with the scale would otherwise
// give another scale the next time.
BlockCodes quantize_q8(const float (&x)[kBlockCols]) {
  BlockCodes out{};
  out.d = float_to_half(std::fabs(largest(x)) / 127.0f);
  encode(x, out.d, -127, 127, out.q);
  int top = 0;
  for (const int8_t q : out.q) top = std::max(top, std::abs(int(q)));
  if (float_to_half(half_to_float(out.d) * float(top) / 127.0f) == out.d) return out;
  for (int8_t& q : out.q) {
    if (std::abs(int(q)) == top) q = int8_t(q < 0 ? q - 1 : q + 1);
  }
  return out;
}

// The best of 26 scales by their least-squares error, then refined: scale for the codes, codes for the rounded scale. The
// range -8..7 has one value more on the negative side, so the scale's sign matters. Mapping the largest value to either end
// of the range is tried as well, so that the result is never worse than that.
BlockCodes quantize_q4(const float (&x)[kBlockCols]) {
  const float extreme = largest(x);
  BlockCodes best{};
  if (extreme == 0) return best;
  double best_error = squared_error(x, best);
  const auto consider = [&](float d) {
    BlockCodes trial{};
    trial.d = float_to_half(d);
    if (is_infinite(trial.d)) return trial;
    encode(x, trial.d, -8, 7, trial.q);
    const double error = squared_error(x, trial);
    if (error < best_error) {
      best_error = error;
      best = trial;
    }
    return trial;
  };
  Values y;
  for (int i = 0; i < kBlockCols; ++i) y[i] = x[i] / extreme;
  BlockCodes trial = consider(extreme / best_inverse(y));
  for (int round = 0; round < kRounds && !is_infinite(trial.d); ++round) trial = consider(best_scale(x, trial));
  const BlockCodes low = consider(extreme / -8), high = consider(extreme / 7);
  return is_infinite(low.d) ? low : is_infinite(high.d) ? high : best;
}

bool pack_matrix(WeightType type, const float* w, int64_t rows, int64_t cols, uint8_t* out) {
  const size_t stride = panel_bytes(type, int32_t(padded_cols(cols) / kBlockCols));
  std::atomic<bool> fits = true;
  for_each_block(w, rows, cols, [&](int64_t row, int32_t b, int32_t blocks, const Values& x) {
    uint8_t* panel = out + stride * size_t(row / kPanelRows);
    if (type == WeightType::f32) return store_f32(x, row, b, panel);
    const BlockCodes codes = type == WeightType::q4 ? quantize_q4(x) : quantize_q8(x);
    if (is_infinite(codes.d)) fits = false;
    if (type == WeightType::q4) store_q4(codes, row, b, blocks, panel);
    else store_q8(codes, row, b, blocks, panel);
  });
  return fits;
}

}  // namespace pith::quantize
