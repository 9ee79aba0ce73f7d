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
constexpr float kTrialStep = 0.2f;        // in codes: halving it gains 0.01 % of the error
constexpr int kEndTrials = 3;             // likewise, of q4m, candidates for each end of the range on both sides of it
constexpr float kEndStep = 0.25f;         // in codes
constexpr int64_t kThreadedBlocks = 512;  // of which each takes about a microsecond: for fewer no team is woken
constexpr int kRounds = 3;                // least-squares refinements of the best candidate

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

// Codes for the scale and the minimum of `out`: the nearest of [low, high] for every value.
void encode(const Values& x, double low, double high, BlockCodes* out) {
  const double d = double(half_to_float(out->d)), m = double(half_to_float(out->m));
  for (int i = 0; i < kBlockCols; ++i)
    out->q[i] = d == 0 ? int8_t(0) : int8_t(nearest_even(std::min(std::max((double(x[i]) - m) / d, low), high)));
}

// A fixed tree over the lanes.
template <typename T>
auto total(const T& lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

double squared_error(const Values& x, const BlockCodes& codes) {
  const double d = double(half_to_float(codes.d)), m = double(half_to_float(codes.m));
  double lanes[kLanes] = {};
  for (int i = 0; i < kBlockCols; ++i) {
    const double e = double(x[i]) - (d * codes.q[i] + m);
    lanes[i % kLanes] += e * e;
  }
  return total(lanes);
}

// The scale that minimises the squared error for given codes and minimum: sum (x - m) q / sum q^2.
float best_scale(const Values& x, const BlockCodes& codes) {
  const double m = double(half_to_float(codes.m));
  double xq[kLanes] = {}, qq[kLanes] = {};
  for (int i = 0; i < kBlockCols; ++i) {
    xq[i % kLanes] += (double(x[i]) - m) * codes.q[i];
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

// The minimum that does so together with the best scale for it: (sum x - d sum q) / 32.
float best_minimum(const Values& x, const BlockCodes& codes) {
  double sx[kLanes] = {}, xq[kLanes] = {}, qq[kLanes] = {}, sq[kLanes] = {};
  for (int i = 0; i < kBlockCols; ++i) {
    sx[i % kLanes] += double(x[i]);
    xq[i % kLanes] += double(x[i]) * codes.q[i];
    qq[i % kLanes] += double(codes.q[i]) * codes.q[i];
    sq[i % kLanes] += double(codes.q[i]);
  }
  const double spread = kBlockCols * total(qq) - total(sq) * total(sq);  // 0: all codes are the same
  const double d = spread == 0 ? 0 : (kBlockCols * total(xq) - total(sx) * total(sq)) / spread;
  return float((total(sx) - d * total(sq)) / kBlockCols);
}

// By how much the codes round(y * slope + shift) in 0..15, at their best scale and minimum, lower the squared error
// below that of the mean alone: (sum y q)^2 / (sum q^2 - (sum q)^2 / 32), for y whose sum is 0.
float error_reduction(const Values& y, float slope, float shift) {
  Lanes yq = {}, qq = {}, sq = {};
  for (int b = 0; b < kBlockCols; b += kLanes) {
    Lanes v;
    std::memcpy(&v, y + b, sizeof v);
    Lanes q = v * slope + shift;
    q = q < 0.0f ? Lanes{} : q > 15.0f ? Lanes{} + 15.0f : q;
    q = (q + kRounding) - kRounding;
    yq += v * q;
    qq += q * q;
    sq += q;
  }
  const float spread = total(qq) - total(sq) * total(sq) / kBlockCols;
  return spread <= 0 ? 0 : total(yq) * total(yq) / spread;
}

// Calls visit(row, block) for n_rows rows, padded to whole panels, of `blocks` blocks; a panel stays on one thread.
template <typename Visit>
void for_each_block(int64_t n_rows, int32_t blocks, const Visit& visit) {
  [[maybe_unused]] const bool is_worth_threads = n_rows * blocks >= kThreadedBlocks;
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (is_worth_threads)
#endif
  for (int64_t panel = 0; panel < padded_rows(n_rows) / kPanelRows; ++panel) {
    for (int64_t row = panel * kPanelRows; row < (panel + 1) * kPanelRows; ++row) {
      for (int32_t b = 0; b < blocks; ++b) visit(row, b);
    }
  }
}

void store_nibbles(const BlockCodes& codes, int offset, uint8_t* lane) {
  for (int32_t p = 0; p < 2; ++p) {
    for (int32_t i = 0; i < 8; ++i) {
      const int low = codes.q[8 * p + i] + offset, high = codes.q[16 + 8 * p + i] + offset;
      lane[64 * p + i] = uint8_t(low | high << 4);
    }
  }
}

void store_bytes(const BlockCodes& codes, uint8_t* lane) {
  for (int32_t p = 0; p < 4; ++p) std::memcpy(lane + 64 * p, codes.q + 8 * p, 8);
}

// Returns whether scale and minimum are finite.
bool store_codes(WeightType type, const BlockCodes& codes, int64_t row, int32_t b, int32_t blocks, uint8_t* out) {
  uint8_t* panel = out + panel_bytes(type, blocks) * size_t(row / kPanelRows);
  const BlockPlace place = place_of(type, b, blocks);
  const size_t r = size_t(row % kPanelRows);
  uint8_t* lane = panel + place.q + 8 * kLaneOfRow[r];
  if (type == WeightType::q8) store_bytes(codes, lane);
  else store_nibbles(codes, has_minima(type) ? 0 : 8, lane);
  std::memcpy(panel + place.d + 2 * r, &codes.d, sizeof codes.d);
  if (has_minima(type)) std::memcpy(panel + place.m + 2 * r, &codes.m, sizeof codes.m);
  return !is_infinite(codes.d) && !is_infinite(codes.m);
}

void store_f32(const Values& x, int64_t row, int32_t b, int32_t blocks, uint8_t* out) {
  uint8_t* panel = out + panel_bytes(WeightType::f32, blocks) * size_t(row / kPanelRows);
  for (int32_t i = 0; i < kBlockCols; ++i) {
    const size_t at = (size_t(b * kBlockCols + i) * kPanelRows + size_t(row % kPanelRows)) * sizeof(float);
    std::memcpy(panel + at, &x[i], sizeof(float));
  }
}

BlockCodes quantized(WeightType type, const Values& x) {
  if (has_minima(type)) return quantize_q4m(x);
  return type == WeightType::q4 ? quantize_q4(x) : quantize_q8(x);
}

// The search for a q4m block of values between `low` and `high`, which are not the same.
class MinimumSearch {
 public:
  MinimumSearch(const Values& x, float low, float high)
      : x_(x), low_(double(low)), range_(double(high) - double(low)), best_error_(squared_error(x, best_)) {}

  BlockCodes run() {
    const BlockCodes plain = consider(range_ / 15, low_);
    if (is_infinite(plain.d) || is_infinite(plain.m)) return plain;
    try_steps();
    if (best_error_ > 0) refine(best_of_grid());
    return best_;
  }

 private:
  // The codes at this scale and minimum, rounded to fp16; kept where they are better.
  BlockCodes consider(double d, double m) {
    BlockCodes trial{};
    trial.d = float_to_half(float(d));
    trial.m = float_to_half(float(m));
    if (is_infinite(trial.d) || is_infinite(trial.m)) return trial;
    encode(x_, 0, 15, &trial);
    const double error = squared_error(x_, trial);
    if (error < best_error_) {
      best_error_ = error;
      best_ = trial;
    }
    return trial;
  }

  // Values that are whole numbers of equal steps apart, which may be a part of those from 0 to 15.
  void try_steps() {
    for (int n = 1; n <= 15 && best_error_ > 0; ++n) {
      const double d = double(half_to_float(float_to_half(float(range_ / n))));
      if (d == 0 || !is_whole(d)) continue;
      for (int k = 0; k <= 15 - n; ++k) {
        consider(d, low_ - k * d);
        if (best_error_ > 0) consider(-d, low_ + range_ + k * d);
      }
    }
  }
  bool is_whole(double d) const {
    constexpr double kSlack = 0.01;  // of a step, for what float32 has rounded
    return std::all_of(x_, x_ + kBlockCols, [&](float v) {
      const double t = (double(v) - low_) / d;
      return std::fabs(t - nearest_even(t)) < kSlack;
    });
  }

  // The best codes for ends of the range near those of the values.
  BlockCodes best_of_grid() const {
    Values y;
    double sum = 0;
    for (int i = 0; i < kBlockCols; ++i) sum += (double(x_[i]) - low_) / range_;
    const double mean = sum / kBlockCols;
    for (int i = 0; i < kBlockCols; ++i) y[i] = float((double(x_[i]) - low_) / range_ - mean);
    float slope = 15, shift = 15 * float(mean), best = -1;
    for (int t = -kEndTrials; t <= kEndTrials; ++t) {
      for (int s = -kEndTrials; s <= kEndTrials; ++s) {
        const float first = kEndStep * float(t), last = 15 + kEndStep * float(s);
        const float trial_slope = last - first, trial_shift = first + trial_slope * float(mean);
        const float reduction = error_reduction(y, trial_slope, trial_shift);
        if (reduction <= best) continue;
        best = reduction;
        slope = trial_slope;
        shift = trial_shift;
      }
    }
    BlockCodes out{};
    for (int i = 0; i < kBlockCols; ++i)
      out.q[i] = int8_t(nearest_even(double(std::min(std::max(y[i] * slope + shift, 0.0f), 15.0f))));
    return out;
  }

  // Minimum for the codes, scale for the codes and the rounded minimum, codes for both.
  void refine(BlockCodes codes) {
    for (int round = 0; round < kRounds && !is_infinite(codes.d) && !is_infinite(codes.m); ++round) {
      codes.m = float_to_half(best_minimum(x_, codes));
      if (is_infinite(codes.m)) return;
      codes = consider(double(best_scale(x_, codes)), double(half_to_float(codes.m)));
    }
  }

  const Values& x_;
  const double low_, range_;
  BlockCodes best_{};
  double best_error_;
};

}  // namespace

// With a normal fp16 scale the largest code is 127. A subnormal one is so coarse that the rounded scale may put the largest
// value elsewhere: above, it is clamped to 127; below, it goes up by one where its product with the scale would otherwise
// give another scale the next time.
BlockCodes quantize_q8(const float (&x)[kBlockCols]) {
  BlockCodes out{};
  out.d = float_to_half(std::fabs(largest(x)) / 127.0f);
  encode(x, -127, 127, &out);
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
    encode(x, -8, 7, &trial);
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

// Plain rounding of the range, exact steps, then the best of 49 ranges by their least-squares error, refined as q4 is.
BlockCodes quantize_q4m(const float (&x)[kBlockCols]) {
  const auto [low, high] = std::minmax_element(x, x + kBlockCols);
  if (*low < *high) return MinimumSearch(x, *low, *high).run();
  BlockCodes out{};
  out.m = float_to_half(*low);
  return out;
}

bool pack_matrix(WeightType type, const float* w, int64_t rows, int64_t cols, uint8_t* out) {
  const int32_t blocks = int32_t(padded_cols(cols) / kBlockCols);
  std::atomic<bool> fits = true;
  for_each_block(rows, blocks, [&](int64_t row, int32_t b) {
    Values x = {};
    const int64_t first = int64_t(b) * kBlockCols, n = std::min<int64_t>(kBlockCols, cols - first);
    if (row < rows) std::memcpy(x, w + row * cols + first, size_t(n) * sizeof(float));
    if (type == WeightType::f32) return store_f32(x, row, b, blocks, out);
    if (!store_codes(type, quantized(type, x), row, b, blocks, out)) fits = false;
  });
  return fits;
}

bool pack_codes(WeightType type, int64_t first, int64_t last, int64_t cols, const CodesOf& codes_of, uint8_t* out) {
  const int32_t blocks = int32_t(padded_cols(cols) / kBlockCols);
  std::atomic<bool> is_finite = true;
  for_each_block(last - first, blocks, [&](int64_t row, int32_t b) {
    const BlockCodes codes = first + row < last ? codes_of(first + row, b) : BlockCodes{};
    if (!store_codes(type, codes, row, b, blocks, out)) is_finite = false;
  });
  return is_finite;
}

}  // namespace pith::quantize
