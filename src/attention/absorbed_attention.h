// Latent attention where nothing stands between latent and keys (MLA, gated latents): scores read the latents as they
// are cached, with W_UK moved into the query, and values are up-projected once per head instead of once per token:
//
//   score_t = (W_UK^T q) . c_t + q^R . k^R_t        out = W_UV (sum_t p_t c_t)
//
// All heads read the same latents, so that a tile of tokens is two products of matrices, [tokens, r] by [r, heads] and
// [heads, tokens] by [tokens, r]. With integer scores both are products of 8 bits (latent_tiles.h).
#ifndef PITH_ATTENTION_ABSORBED_ATTENTION_H
#define PITH_ATTENTION_ABSORBED_ATTENTION_H

#include <cstdint>

#include "attention/latent_tiles.h"
#include "attention/running_softmax.h"
#include "attention/step.h"
#include "attention/tile_attention.h"
#include "layers/linear.h"
#include "layers/part.h"

namespace pith::internal {

class AbsorbedAttention : Part {
 public:
  void lay_out(const Setup& setup, const LatentRing& ring, Arena* arena);

  // out [n_h d_v]: the heads' outputs.
  void attend(int32_t layer, const Step& step, float* out);

 private:
  // Runs of tiles that threads share, as many as the context alone says: so few that joining them stays small.
  static constexpr int32_t kMaxRuns = 8;

  // What one thread needs.
  struct Scratch {
    LatentTiles::Scratch latents;
    TileScratch tile;   // of float scores
    float* rho;         // [kTileSlots], likewise
    float* row_scales;  // [kTileSlots], likewise
    int8_t* rounded;    // [latent block padded]: of a head's query
    Columns sum;        // a column of r: a head's sum of p c
  };

  void absorb(const RingLayer& ring, const Step& step, int32_t head, const Scratch& s) const;
  void attend_tile(const RingLayer& ring, const Step& step, const SlotTile& tile, const Scratch& s,
                   RunningSoftmax* running) const;
  void up_project(int32_t layer, int32_t head, const Scratch& s, float* out) const;

  const LatentRing* ring_ = nullptr;
  bool has_integer_scores_ = true;
  LatentTiles latents_;
  SoftmaxSplits splits_;
  float* absorbed_ = nullptr;   // [n_h, padded r]: W_UK^T q
  Scratch* scratch_ = nullptr;  // [max_threads]
};

}  // namespace pith::internal

#endif
