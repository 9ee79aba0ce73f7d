// Attention over one block of tokens whose keys and values lie in rows: scores, softmax, sums. All heads together.
#ifndef PITH_ATTENTION_TILE_ATTENTION_H
#define PITH_ATTENTION_TILE_ATTENTION_H

#include <cstdint>

#include "ground/arena.h"
#include "attention/head_rows.h"
#include "cache/latent_ring.h"
#include "cache/row_pool.h"
#include "attention/running_softmax.h"
#include "ground/trace.h"

namespace pith::internal {

// What one thread needs.
struct TileScratch {
  HeadScratch heads;
  float* scores;        // [max_tokens, lanes]
  float* key_scales;    // [max_tokens, lanes]
  float* value_scales;  // [max_tokens, lanes]
  float* rope_scales;   // [max_tokens]
  int32_t* identity;    // [max_tokens] 0, 1, 2, ...
  [[no_unique_address]] Trace trace;

  void lay_out(int32_t max_tokens, int32_t lanes, int32_t max_width, Arena* arena);
  void clear_scores(int32_t n, int32_t lanes) const;
};

// The rotary keys of n slots, with their scales in `scales` [n].
HeadRows rope_rows(const LatentRing& ring, const Config& config, int32_t layer, const int32_t* slots, int32_t n,
                   bool is_i8, float* scales);

// The latents of n slots as far as part `part` goes (CacheShape::n_parts), times rho [n], or NULL for 1. scales [n]
// holds the part's own.
HeadRows latent_rows(const Kernels& kernels, const LatentRing& ring, int32_t layer, const int32_t* slots, int32_t n,
                     int32_t part, int32_t n_heads, bool is_i8, const float* rho, float* scales);

// Adds n tokens to the softmax. rope NULL: keys have no shared part.
void attend_tile(const Kernels& kernels, const QueryHeads& query, const HeadRows& keys, const HeadRows* rope,
                 const HeadRows& values, int32_t n, const TileScratch& scratch, RunningSoftmax* running);

// Adds n tokens whose finished rows are `index` [n] of those that begin at `rows`, and whose rotary keys lie in `slots`
// [n] of the ring.
void attend_rows(const Kernels& kernels, const Config& config, const LatentRing& ring, int32_t layer,
                 const RowShape& shape, Row rows, const int32_t* index, const int32_t* slots, int32_t n,
                 const QueryHeads& query, const TileScratch& scratch, RunningSoftmax* running);

// MHA: adds the n tokens whose keys and values lie in `slots` [n] of the ring.
void attend_cached_heads(const Kernels& kernels, const Config& config, const LatentRing& ring, int32_t layer,
                         const int32_t* slots, int32_t n, const QueryHeads& query, const TileScratch& scratch,
                         RunningSoftmax* running);

}  // namespace pith::internal

#endif
