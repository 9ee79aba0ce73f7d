// Materialises what attention would read if nothing were compressed: the gate of an id, and keys and values of cached
// tokens from their latents,
//   [k ; v] = rho (u g - mean(u g)),  u = W_UKV c,  g = W_UE E[id]
// gamma and beta of norm_g are folded into W_Q and W_O. A gate counts as a row holds it, rounded where rows are int8,
// so that it does not matter whether it was stored or computed.
#ifndef PITH_CACHE_MATERIALISER_H
#define PITH_CACHE_MATERIALISER_H

#include <cstdint>

#include "cache/latent_ring.h"
#include "cache/row_pool.h"
#include "ground/trace.h"
#include "layers/linear.h"
#include "layers/part.h"

namespace pith::internal {

// A token of the ring, as materialise_tokens() takes it.
struct CachedToken {
  int32_t slot;
  int32_t id;        // -1: the model has no gates
  int32_t gate_row;  // of the pool; -1: the gate is computed
  float scale;  // of a token whose scalars of norm_g are not stored yet: what LatentRing::store gave; else kIsNormed

  static constexpr float kIsNormed = -1;
};

class Materialiser : Part {
 public:
  static constexpr int32_t kMaxTokens = kTileSlots;  // that are up-projected together
  static constexpr int32_t kMaxGates = 16;           // gates that are computed together

  // What one thread needs.
  struct Scratch {
    Columns gate_input;  // a column of d_e
    float* gate;         // [N], padded to panels: a gate on its way
    Columns latents;     // [kMaxTokens] columns of r
    float* up;           // [kMaxTokens, N padded]: u
    float* product;      // [N]: u g
    Row row;             // a row of its own
    Columns ids;         // [kMaxGates] columns of d_e
    float* gates;        // [kMaxGates, N padded]
  };

  void lay_out(const Setup& setup, LatentRing* ring);
  void lay_out_scratch(Scratch* scratch, Arena* arena) const;

  const RowShape& rows() const { return rows_; }
  const Linear& gate_matrix(int32_t layer) const { return weights_->layers[layer].gate_up; }

  // E[id] as the input of gate_matrix(layer).
  Activation gate_input(int32_t layer, int32_t id, const Columns& input) const;

  // W_UE E[id] on this thread, as no row holds it yet; [N] or, for a gated latent, [r].
  void compute_gate(int32_t layer, int32_t id, const Scratch& scratch, float* gate) const;
  // The same of n <= kMaxGates ids, into scratch.gates [n, up_stride].
  void compute_gates(int32_t layer, const int32_t* ids, int32_t n, const Scratch& scratch) const;

  // Stores a gate; `gate` [N] becomes what the row holds.
  void store_gate(float* gate, Row row) const;
  // Makes `gate` [N] what a row would hold.
  void round_gate(float* gate, const Scratch& scratch) const;

  // u of n slots, into scratch.up: [n, up_stride]. Without the scale of c where that is inside rho.
  void up_project(int32_t layer, const int32_t* slots, int32_t n, const Scratch& scratch) const;
  int32_t up_stride() const { return int32_t(padded_rows(config_->kv_width())); }

  // Keys and values of a slot, from u and its gate (NULL without).
  void materialise(int32_t layer, int32_t slot, const float* up, const float* gate, const Scratch& scratch,
                   Row row) const;

  // Stores the scalars of norm_g of a slot, from u, its gate and what LatentRing::store gave.
  void store_norm(int32_t layer, int32_t slot, const float* up, const float* gate, float scale,
                  const Scratch& scratch) const;

  // Keys and values of n <= kMaxTokens tokens, one row after the other from `rows` on. Gates that no row of the pool
  // holds are computed, once for all of these tokens that share an id.
  void materialise_tokens(int32_t layer, const CachedToken* tokens, int32_t n, const RowPool& pool,
                          const Scratch& scratch, Row rows) const;

  void set_trace(const Trace& trace) { trace_ = trace; }  // of a traced build

 private:
  // The scalars of norm_g: rho, and the mean that it has not been multiplied with, of keys and of values.
  struct Norm {
    float rho[2], mean[2];
  };
  // From u and its gate (NULL without), and the latent's scale as far as rho takes it.
  Norm norm(const float* up, const float* gate, float scale, const Scratch& scratch) const;

  float mean_of(const float* product, int32_t offset, int32_t width) const;

  LatentRing* ring_ = nullptr;
  RowShape rows_{};
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
