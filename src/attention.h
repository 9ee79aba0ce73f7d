// Attention of one token in one layer: project, cache, attend over the ring. Three forms behind one interface:
//
//   materialise  k and v of every cached token are recomputed from its latent, tile by tile:
//                [k ; v] = rho (u g - mean(u g)), u = W_UKV c, g = W_UE E[id] once per distinct id of the tile
//   absorbed     no gate between latent and keys: score = (W_UK^T q) . c, out = W_UV (sum p c)
//   mha          keys and values are cached as they are
//
// gamma and beta of norm_g, and the score scale, are folded into W_Q and W_O (design: fold offline).
#ifndef PITH_ATTENTION_H
#define PITH_ATTENTION_H

#include <cstdint>

#include "attention_tile.h"
#include "latent_ring.h"
#include "linear.h"
#include "parallel.h"
#include "plan.h"
#include "weights.h"

namespace pith {

class Attention {
 public:
  void lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena);

  // The token that the following calls of run() are about, and its angles.
  void begin_token(uint64_t position, int32_t id);

  // x: the normed residual stream [d], prepared. out [n_h d_v]: the heads' outputs, input of W_O.
  void run(int32_t layer, Activation x, float* out);

  uint64_t nanoseconds() const { return nanoseconds_; }

 private:
  // What one thread needs to expand a tile.
  struct Scratch {
    Input latent;      // [r]: a cached c, or a head's sum of p c
    Input gate_input;  // [d_e]
    float* gate;       // [gate_output_width]
    float* up;         // [n_h (d_n + d_v)], padded to panels
    float* keys;       // [kTileSlots, key row]: finished [k ; v], latents, or MHA keys
    float* values;     // [kTileSlots, n_kv d_v], MHA only
    float* rope;       // [kTileSlots, d_r]
    float* scores;     // [kTileSlots]
    float* weights;    // [n_tiles]
  };

  void lay_out_scratch(Arena* arena);
  void project(const Layer& layer, Activation x);
  void project_latent(int32_t layer, Activation x);
  void project_mha(int32_t layer, Activation x);
  void rotate(const float* cosine, const float* sine, float* x) const;
  void rotate_query();
  void gate_latent(int32_t layer, float* latent);
  void load_gate(int32_t layer, int32_t id, const Scratch& scratch) const;
  Activation load_latent(int32_t layer, int32_t slot, const Linear& w, const Scratch& scratch) const;
  void store_norm(int32_t layer, float scale);
  void rho_of(const float* product, float scale, float* rho) const;
  float mean_of(const float* product, int32_t offset, int32_t width) const;
  void finish_row(int32_t layer, int32_t slot, const float* up, const float* gate, float* row) const;
  void expand(int32_t layer, int32_t first_slot, int32_t n_slots, const Scratch& scratch, TileView* tile) const;
  void expand_materialised(int32_t layer, int32_t first_slot, int32_t n_slots, const Scratch& scratch) const;
  void expand_absorbed(int32_t layer, int32_t first_slot, int32_t n_slots, const Scratch& scratch) const;
  void absorb_query(const Layer& layer);
  void attend(int32_t layer, float* out);
  void merge(const Layer& layer, int32_t n_tiles, float* out);

  int32_t key_row_width() const;        // floats of one slot in Scratch::keys
  int32_t partial_value_width() const;  // width of what tiles accumulate per head

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  Plan plan_{};
  LatentRing ring_;
  Scratch* scratch_ = nullptr;     // [max_threads]
  Input query_latent_;             // [query latent], low-rank queries
  float* kv_ = nullptr;            // [r + d_r] or [2 n_kv d_v], padded
  float* query_ = nullptr;         // [n_h (d_n + d_r)], padded; rotated for the window
  float* pinned_query_ = nullptr;  // the same, rotated for the pinned slots
  float* absorbed_ = nullptr;      // [n_h, padded r]: W_UK^T q
  float* partials_ = nullptr;      // [n_tiles, n_h, partial_width]
  float* angles_ = nullptr;        // [4, d_r / 2]: cos and sin at the position, and as pinned slots see it
  uint64_t position_ = 0;
  int32_t id_ = 0, slot_ = 0;
  uint64_t nanoseconds_ = 0;
};

}  // namespace pith

#endif
