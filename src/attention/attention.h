// Attention of one token in one layer: project, cache, attend over the ring. Four forms behind one interface:
//
//   grouped      gated models: queries are absorbed once per distinct id; rare ids read finished rows (grouped_attention.h)
//   materialise  k and v of every cached token are recomputed from its latent, tile by tile (materialiser.h)
//   absorbed     no gate between latent and keys: score = (W_UK^T q) . c, out = W_UV (sum p c)
//   mha          keys and values are cached as they are
//
// gamma and beta of norm_g, and the score scale, are folded into W_Q and W_O (design: fold offline).
#ifndef PITH_ATTENTION_ATTENTION_H
#define PITH_ATTENTION_ATTENTION_H

#include <cstdint>

#include "attention/tile_attention.h"
#include "attention/grouped_attention.h"
#include "layers/linear.h"
#include "ground/parallel.h"
#include "model/plan.h"
#include "layers/rotary.h"
#include "cache/kv_cache.h"
#include "ground/trace.h"
#include "model/weights.h"

namespace pith::internal {

class Attention {
 public:
  void lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, KvCache* cache,
               Arena* arena);

  // The token that the following calls of run() are about, and its angles. It enters the cache.
  void begin_token(uint64_t position, int32_t id);

  // x: the normed residual stream [d], prepared. out [n_h d_v]: the heads' outputs, input of W_O.
  void run(int32_t layer, Activation x, float* out);

  uint64_t nanoseconds() const { return nanoseconds_; }
  void set_trace(const Trace& trace) {  // of a traced build
    trace_ = trace;
    for (int32_t thread = 0; thread < plan_.max_threads; ++thread) scratch_[thread].block.trace = trace;
  }

 private:
  // Runs of slots that threads share in the absorbed form, and tiles of one at least.
  static constexpr int32_t kMaxSlotRuns = 8, kRunTiles = 4;

  // What one thread needs.
  struct Scratch {
    TileScratch block;
    Row tile;            // [kTileSlots] rows; materialise, grouped
    Input sum;           // [r]: a head's sum of p c; absorbed
    float* absorbed;     // [n_h, padded r]: W_UK^T q, of the heads of a piece; absorbed
    int8_t* absorbed_q;  // [n_parts, n_h, padded part]
    float* absorbed_d;   // [n_parts, lanes]
    bool is_absorbed;    // the query of this layer
    float* rope_d;       // [lanes]: of the heads of a piece; absorbed
    float* rho;          // [kTileSlots]
    float* row_scales;   // [kTileSlots]
  };
  // A run of slots that one thread attends to: all pinned, or none.
  struct Tile {
    int32_t first, n;
    bool is_pinned;
  };

  void lay_out_scratch(Arena* arena);
  void project(int32_t layer, Activation x);
  void project_mha(int32_t layer, Activation x);
  void rotate_query();
  const RotatedQuery& query_of(const Tile& tile) const { return tile.is_pinned ? pinned_ : window_; }
  int32_t n_tiles() const;
  Tile tile_at(int32_t index) const;
  void attend(int32_t layer, float* out);
  void attend_grouped(int32_t layer, float* out);
  void attend_tiles(int32_t layer, float* out);
  void attend_absorbed(int32_t layer, float* out);
  void expand_sum(const Layer& layer, int32_t head, const Scratch& s, float* out) const;
  void absorb_query(const Layer& layer, int32_t first_head, int32_t n_heads, const Scratch& s) const;
  void attend_latents(int32_t layer, const Tile& tile, int32_t first_head, int32_t n_heads, const Scratch& s,
                      RunningSoftmax* running) const;

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  KvCache* cache_ = nullptr;
  Plan plan_{};
  bool is_rounded_ = true;  // queries are int8
  GroupedAttention grouped_;
  SoftmaxSplits splits_;
  Scratch* scratch_ = nullptr;    // [max_threads]
  int32_t* all_slots_ = nullptr;  // [capacity] 0, 1, 2, ...
  Input query_latent_;            // [query latent], low-rank queries
  float* merged_ = nullptr;       // [n_h, r]: sums of p c; absorbed
  float* latent_ = nullptr;       // [r + d_r], padded
  float* keys_ = nullptr;         // [n_kv d_v], padded; MHA
  float* values_ = nullptr;       // [n_kv d_v], padded; MHA
  float* query_ = nullptr;        // [n_h (d_n + d_r)], padded; not rotated yet
  RotatedQuery window_, pinned_;
  Angles angles_;
  uint64_t position_ = 0;
  uint64_t nanoseconds_ = 0;
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
