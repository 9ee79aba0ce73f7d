// Latent attention where nothing stands between latent and keys (MLA, gated latents): scores read the latents as they
// are cached, with W_UK moved into the query, and values are up-projected once per head instead of once per token:
//
//   score_t = (W_UK^T q) . c_t + q^R . k^R_t        out = W_UV (sum_t p_t c_t)
#ifndef PITH_ATTENTION_ABSORBED_ATTENTION_H
#define PITH_ATTENTION_ABSORBED_ATTENTION_H

#include <cstdint>

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
  // Runs of tiles that threads share where the context is long, and tiles of one at least: so few that what every run
  // does for itself, absorbing the query, stays small beside them.
  static constexpr int32_t kMaxRuns = 8, kRunTiles = 4;

  // Heads [first, first + n).
  struct Heads {
    int32_t first, n;
  };
  // What one thread needs.
  struct Scratch {
    TileScratch tile;
    Columns sum;         // a column of r: a head's sum of p c
    float* absorbed;     // [n_h, padded r]: W_UK^T q, of the heads of a task
    int8_t* absorbed_q;  // [n_blocks, n_h, padded block]
    float* absorbed_d;   // [n_blocks, lanes]
    bool is_absorbed;    // the query of this layer
    float* rope_d;       // [lanes]: of the heads of a task
    float* rho;          // [kTileSlots]
    float* row_scales;   // [kTileSlots]
  };

  void share_heads(const RingLayer& ring, const Step& step, float* out);
  void share_tiles(const RingLayer& ring, const Step& step, int32_t n_runs, float* out);
  void absorb(const RingLayer& ring, const Step& step, const Heads& heads, const Scratch& s) const;
  void attend_tile(const RingLayer& ring, const Step& step, const SlotTile& tile, const Heads& heads, const Scratch& s,
                   RunningSoftmax* running) const;
  void up_project(int32_t layer, int32_t head, const Scratch& s, float* out) const;

  const LatentRing* ring_ = nullptr;
  bool has_integer_scores_ = true;
  SoftmaxSplits splits_;
  Scratch* scratch_ = nullptr;  // [max_threads]
  float* merged_ = nullptr;     // [n_h, r]: sums of p c
};

}  // namespace pith::internal

#endif
