#include "attention_tile.h"

namespace pith {
namespace {

void score_head(const Kernels& k, const TileView& tile, const QueryView& window, const QueryView& pinned, int32_t head,
                float* scores) {
  const float* keys = tile.keys + head / tile.heads_per_kv * tile.key_head_stride;
  for (int32_t i = 0; i < tile.n_slots; ++i) {
    const QueryView& query = i < tile.n_pinned ? pinned : window;
    float score = k.dot(query.content + head * query.content_stride, keys + i * tile.key_stride, tile.key_width);
    if (tile.rope_width > 0)
      score = score + k.dot(query.rope + head * query.rope_stride, tile.rope + i * tile.rope_width, tile.rope_width);
    scores[i] = score;
  }
}

}  // namespace

void attend_tile(const Kernels& k, const TileView& tile, const QueryView& window, const QueryView& pinned,
                 int32_t n_heads, float* scores, float* partial) {
  for (int32_t head = 0; head < n_heads; ++head, partial += partial_width(tile.value_width)) {
    score_head(k, tile, window, pinned, head, scores);
    partial[0] = k.max(scores, tile.n_slots);
    partial[1] = k.exp_sum(scores, partial[0], tile.n_slots);
    float* out = partial + 2;
    for (int32_t j = 0; j < tile.value_width; ++j) out[j] = 0;
    const float* values = tile.values + head / tile.heads_per_kv * tile.value_head_stride;
    for (int32_t i = 0; i < tile.n_slots; ++i) k.axpy(scores[i], values + i * tile.value_stride, tile.value_width, out);
  }
}

void merge_tiles(const Kernels& k, const float* partials, int32_t n_tiles, int32_t n_heads, int32_t head,
                 int32_t value_width, float* weights, float* out) {
  const size_t stride = size_t(n_heads) * size_t(partial_width(value_width));
  const float* first = partials + size_t(head) * size_t(partial_width(value_width));
  for (int32_t t = 0; t < n_tiles; ++t) weights[t] = first[stride * size_t(t)];
  k.exp_sum(weights, k.max(weights, n_tiles), n_tiles);
  for (int32_t j = 0; j < value_width; ++j) out[j] = 0;
  float total = 0;
  for (int32_t t = 0; t < n_tiles; ++t) {
    const float* partial = first + stride * size_t(t);
    total = __builtin_fmaf(weights[t], partial[1], total);
    k.axpy(weights[t], partial + 2, value_width, out);
  }
  k.shift_scale(out, 0, 1.0f / total, value_width, out);
}

}  // namespace pith
