// Attention over one tile of tokens whose keys and values lie in rows: scores, softmax, sums. All heads together.
#ifndef PITH_ATTENTION_TILE_ATTENTION_H
#define PITH_ATTENTION_TILE_ATTENTION_H

#include <cstdint>

#include "attention/head_rows.h"
#include "attention/query.h"
#include "attention/running_softmax.h"
#include "cache/latent_ring.h"
#include "cache/row_pool.h"
#include "ground/arena.h"
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
  RunningSoftmax part;  // of the tile: maxima and sums

  void lay_out(int32_t max_tokens, int32_t lanes, int32_t max_width, Arena* arena);
  void clear_scores(int32_t n, int32_t lanes) const;
};

// One layer of the ring, as attention reads it.
struct RingLayer {
  const Kernels& kernels;
  const Config& config;
  const LatentRing& ring;
  int32_t layer;
  [[no_unique_address]] Trace trace;
  int32_t token = 0;  // of the chunk, for the trace

  // The rotary keys of n slots; their scales come to lie in `scales` [n].
  HeadRows ropes(const int32_t* slots, int32_t n, float* scales) const;

  // Block `block` (CacheShape::n_blocks) of the latents of n slots, times rho [n], or NULL for 1. scales [n] holds the
  // block's.
  HeadRows latents(const int32_t* slots, int32_t n, int32_t block, int32_t n_heads, const float* rho,
                   float* scales) const;
};

// How int8 values are summed. Rounded weights are what prompts have, so that decoding gives their bits; floats are some
// percent faster where every head reads rows of its own.
enum class ValueSums : uint8_t { rounded, floats };

// Adds tokens to the softmax: their materialised rows are `rows`, their rotary keys lie in `slots` [rows.n] of the
// ring.
void attend_rows(const RingLayer& ring, const RowList& rows, const int32_t* slots, const QueryHeads& query,
                 ValueSums sums, const TileScratch& scratch, RunningSoftmax* running);

// What MHA needs beside.
struct StoredScales {
  uint16_t* spread;  // [max_tokens, lanes], and LatentRing::kSpreadSlack: before they are widened

  void lay_out(int32_t max_tokens, int32_t lanes, Arena* arena);
};

// MHA: adds the n tokens whose keys and values lie in `slots` [n] of the ring.
void attend_cached_heads(const RingLayer& ring, const int32_t* slots, int32_t n, const QueryHeads& query,
                         const TileScratch& scratch, const StoredScales& scales, RunningSoftmax* running);

}  // namespace pith::internal

#endif
