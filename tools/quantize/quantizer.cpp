#include "quantizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "half.h"

namespace pith {
namespace {

constexpr int kTrials = 16;  // candidate scales a side of the one that maps the largest value to the end of the range

float largest(const float (&x)[kBlockCols]) {
  float best = 0;
  for (const float v : x) {
    if (std::fabs(v) > std::fabs(best)) best = v;
  }
  return best;
}

// Codes for the scale d: the nearest of [low, high] for every value.
void encode(const float (&x)[kBlockCols], float d, int low, int high, int8_t (&q)[kBlockCols]) {
  for (int i = 0; i < kBlockCols; ++i)
    q[i] = d == 0 ? int8_t(0) : int8_t(std::clamp(int(std::nearbyint(double(x[i]) / double(d))), low, high));
}

double squared_error(const float (&x)[kBlockCols], float d, const int8_t (&q)[kBlockCols]) {
  double total = 0;
  for (int i = 0; i < kBlockCols; ++i) {
    const double e = double(x[i]) - double(d) * q[i];
    total += e * e;
  }
  return total;
}

// The scale that minimises the squared error for given codes: sum x q / sum q^2.
float best_scale(const float (&x)[kBlockCols], const int8_t (&q)[kBlockCols]) {
  double xq = 0, qq = 0;
  for (int i = 0; i < kBlockCols; ++i) {
    xq += double(x[i]) * q[i];
    qq += double(q[i]) * q[i];
  }
  return qq == 0 ? 0 : float(xq / qq);
}

// Calls visit(row, block, values) for all rows and blocks of the padded matrix.
template <typename Visit>
void for_each_block(const float* w, int64_t rows, int64_t cols, const Visit& visit) {
  const int32_t blocks = int32_t(padded_cols(cols) / kBlockCols);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < padded_rows(rows); ++row) {
    for (int32_t b = 0; b < blocks; ++b) {
      float x[kBlockCols] = {};
      const int64_t first = int64_t(b) * kBlockCols, n = std::min<int64_t>(kBlockCols, cols - first);
      if (row < rows) std::memcpy(x, w + row * cols + first, size_t(n) * sizeof(float));
      visit(row, b, blocks, x);
    }
  }
}

void store_q4(const BlockCodes& codes, int64_t row, int32_t b, int32_t blocks, uint8_t* panel) {
  const BlockPlace place = q4_place(b, blocks);
  const int32_t r = int32_t(row % kPanelRows);
  for (int32_t p = 0; p < 2; ++p) {
    for (int32_t i = 0; i < 8; ++i) {
      const int low = codes.q[8 * p + i] + 8, high = codes.q[16 + 8 * p + i] + 8;
      panel[place.q + size_t(64 * p + 8 * kSlotOfRow[r] + i)] = uint8_t(low | high << 4);
    }
  }
  std::memcpy(panel + place.d + 2 * r, &codes.d, sizeof codes.d);
}

void store_q8(const BlockCodes& codes, int64_t row, int32_t b, int32_t blocks, uint8_t* panel) {
  const BlockPlace place = q8_place(b, blocks);
  const int32_t r = int32_t(row % kPanelRows);
  for (int32_t p = 0; p < 4; ++p) std::memcpy(panel + place.q + 64 * p + 8 * kSlotOfRow[r], codes.q + 8 * p, 8);
  std::memcpy(panel + place.d + 2 * r, &codes.d, sizeof codes.d);
}

void store_f32(const float (&x)[kBlockCols], int64_t row, int32_t b, uint8_t* panel) {
  for (int32_t i = 0; i < kBlockCols; ++i) {
    const size_t at = (size_t(b * kBlockCols + i) * kPanelRows + size_t(row % kPanelRows)) * sizeof(float);
    std::memcpy(panel + at, &x[i], sizeof(float));
  }
}

}  // namespace

BlockCodes quantize_q8(const float (&x)[kBlockCols]) {
  BlockCodes out{};
  out.d = float_to_half(std::fabs(largest(x)) / 127.0f);
  encode(x, half_to_float(out.d), -127, 127, out.q);
  return out;
}

// Candidate scales around largest / -8 (the range -8..7 has one value more on the negative side) and largest / 7; each is
// refined once by least squares on its codes.
BlockCodes quantize_q4(const float (&x)[kBlockCols]) {
  const float extreme = largest(x);
  BlockCodes best{};
  double best_error = squared_error(x, 0, best.q);
  const auto consider = [&](float d) {
    BlockCodes trial{};
    trial.d = float_to_half(d);
    encode(x, half_to_float(trial.d), -8, 7, trial.q);
    const double error = squared_error(x, half_to_float(trial.d), trial.q);
    if (error < best_error) {
      best_error = error;
      best = trial;
    }
    return best_scale(x, trial.q);
  };
  for (int t = -kTrials; t <= kTrials; ++t) {
    for (const float end : {-8.0f, 7.0f}) consider(consider(extreme / (end + std::copysign(0.1f * float(t), end))));
  }
  return best;
}

void pack_matrix(WeightType type, const float* w, int64_t rows, int64_t cols, uint8_t* out) {
  const size_t stride = panel_bytes(type, int32_t(padded_cols(cols) / kBlockCols));
  for_each_block(w, rows, cols, [=](int64_t row, int32_t b, int32_t blocks, const float (&x)[kBlockCols]) {
    uint8_t* panel = out + stride * size_t(row / kPanelRows);
    switch (type) {
      case WeightType::q4: return store_q4(quantize_q4(x), row, b, blocks, panel);
      case WeightType::q8: return store_q8(quantize_q8(x), row, b, blocks, panel);
      case WeightType::f32: return store_f32(x, row, b, panel);
    }
  });
}

}  // namespace pith
