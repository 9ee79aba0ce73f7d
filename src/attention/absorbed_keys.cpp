#include "attention/absorbed_keys.h"

#include "half.h"

namespace pith::internal {
namespace {

struct StoredWeight {
  int32_t code;
  float scale;
};

// Element (row, col) of a packed integer matrix without minima.
StoredWeight stored_weight(const Linear& w, int32_t row, int32_t col) {
  const uint8_t* panel = w.w + panel_bytes(w.type, w.blocks) * size_t(row / kPanelRows);
  const int32_t b = col / kBlockCols, i = col % kBlockCols, slot = kLaneOfRow[row % kPanelRows];
  const BlockPlace place = place_of(w.type, b, w.blocks);
  const float scale = half_to_float(read_half(panel + place.d + 2 * (row % kPanelRows)));
  if (w.type == WeightType::q8) return {int8_t(panel[place.q + size_t(64 * (i / 8) + 8 * slot + i % 8)]), scale};
  const uint8_t byte = panel[place.q + size_t(64 * (i % 16 / 8) + 8 * slot + i % 8)];
  return {(i < 16 ? byte & 15 : byte >> 4) - 8, scale};
}

}  // namespace

bool AbsorbedKeys::is_possible(const Config& config, const Weights& weights) {
  for (int32_t layer = 0; layer < config.n_layers; ++layer) {
    const WeightType type = weights.layers[layer].kv_b.type;
    if (type == WeightType::f32 || has_minima(type)) return false;
  }
  return true;
}

void AbsorbedKeys::lay_out(const Config& c, const Weights& weights, Arena* arena) {
  n_heads_ = c.n_heads;
  n_blocks_ = int32_t(padded_cols(c.latent_width) / kBlockCols);
  padded_ = int32_t(padded_cols(c.content_width));
  const size_t n = size_t(c.n_layers) * size_t(n_heads_) * size_t(n_blocks_);
  matrices_ = arena->take_zeros<uint8_t>(n * matrix_bytes());
  scales_ = arena->take_zeros<float>(n * size_t(padded_));
  if (arena->is_measuring()) return;
  for (int32_t layer = 0; layer < c.n_layers; ++layer) {
    for (int32_t head = 0; head < n_heads_; ++head) {
      for (int32_t b = 0; b < n_blocks_; ++b) fill(c, weights.layers[layer].kv_b, layer, head, b);
    }
  }
}

void AbsorbedKeys::fill(const Config& c, const Linear& up, int32_t layer, int32_t head, int32_t b) {
  uint8_t* matrix = matrices_ + index(layer, head, b) * matrix_bytes();
  float* scales = scales_ + index(layer, head, b) * size_t(padded_);
  for (int32_t j = 0; j < c.content_width; ++j) {
    const int32_t row = head * c.kv_head_width() + j;
    for (int32_t i = 0; i < kBlockCols; ++i) {
      const StoredWeight w = stored_weight(up, row, b * kBlockCols + i);
      const size_t block = size_t(i / kPanelRows) * size_t(padded_ / kBlockCols) + size_t(j / kBlockCols);
      const size_t lane = size_t(kLaneOfRow[i % kPanelRows]);
      const size_t byte = size_t(j % kBlockCols / 8) * 64 + lane * 8 + size_t(j % 8);
      matrix[block * kQ8BlockBytes + byte] = uint8_t(int8_t(w.code));
      scales[j] = w.scale;
    }
  }
}

}  // namespace pith::internal
