// Attention over one tile of 64 ring slots, and the merge of the tiles.
//
// A tile is a fixed range of absolute slots and is computed by one thread: largest score m, sum l of e^(score - m) and
// out = sum of e^(score - m) v, per head. The merge runs over the tiles in slot order. So no bit depends on the threads.
#ifndef PITH_ATTENTION_TILE_H
#define PITH_ATTENTION_TILE_H

#include <cstdint>

#include "kernels.h"

namespace pith {

// Keys and values of a tile as floats. Heads that share keys have a head stride of 0.
struct TileView {
  int32_t n_slots;    // 1 .. kTileSlots
  int32_t n_pinned;   // of these, the first ones are pinned
  const float* keys;  // [n_slots] rows of key_stride; head h at h / heads_per_kv * key_head_stride, key_width wide
  int32_t key_stride, key_head_stride, key_width;
  const float* rope;  // [n_slots, rope_width], shared by all heads; width 0: none
  int32_t rope_width;
  const float* values;  // as keys
  int32_t value_stride, value_head_stride, value_width;
  int32_t heads_per_kv;
};

// The query of every head, score scale included.
struct QueryView {
  const float* content;  // [n_heads] rows of content_stride
  int32_t content_stride;
  const float* rope;  // [n_heads] rows of rope_stride
  int32_t rope_stride;
};

// What a tile leaves: [n_heads] rows of m, l, out[value_width].
constexpr int32_t partial_width(int32_t value_width) { return 2 + value_width; }

// scores: [kTileSlots] scratch. `pinned` is the query that pinned slots see.
void attend_tile(const Kernels& kernels, const TileView& tile, const QueryView& window, const QueryView& pinned,
                 int32_t n_heads, float* scores, float* partial);

// out [value_width] of one head from partials [n_tiles, n_heads, partial_width]; weights: [n_tiles] scratch.
void merge_tiles(const Kernels& kernels, const float* partials, int32_t n_tiles, int32_t n_heads, int32_t head,
                 int32_t value_width, float* weights, float* out);

}  // namespace pith

#endif
