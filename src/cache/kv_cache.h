// What attention keeps of the tokens: the ring of latents, the groups of ids and the pool of finished rows of a gated
// model. Tokens enter one by one (replace, then every layer's store) or as a chunk (stage, then commit); they can be
// taken back, and the whole goes into bytes and comes back.
#ifndef PITH_CACHE_KV_CACHE_H
#define PITH_CACHE_KV_CACHE_H

#include <cstdint>

#include "cache/materialiser.h"
#include "cache/latent_ring.h"
#include "ground/parallel.h"
#include "model/plan.h"
#include "layers/rotary.h"
#include "cache/row_pool.h"
#include "cache/token_groups.h"
#include "ground/trace.h"
#include "model/weights.h"

namespace pith::internal {

class KvCache {
 public:
  static constexpr int32_t kMaxConversions = TokenGroups::kMaxConversions;

  void lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena);

  // No token is cached any more.
  void reset();

  // ---- One token: replace(), then begin_layer() and store() in every layer ----

  void replace(uint64_t position, int32_t id);
  int32_t slot() const { return slot_; }

  // Puts aside what the slot holds in this layer. Then the gates that the layer needs and no row holds are products for
  // the caller to compute: add_products() appends them, returns how many.
  void begin_layer(int32_t layer);
  size_t add_products(int32_t layer, Product* products);

  // latent [r + d_r]: W_DKV x, then W_KR x. Both are changed.
  void store(int32_t layer, float* latent, const Angles& angles);
  // keys and values [n_kv d_v], not rotated yet; MHA.
  void store_heads(int32_t layer, float* keys, const float* values, const Angles& angles);

  // Takes the token back, whose layers [0, n_layers) were stored: everything is as it was before replace().
  void roll_back(int32_t n_layers);

  // ---- A chunk of n <= plan.chunk tokens: stage() in every layer, then commit() ----

  // As store() and store_heads(), for token `i` of the chunk, whose slot is ring().staged_slot(i). Several threads at the
  // same time. Returns what CachedToken::scale takes: kIsNormed but for gated models.
  float stage(int32_t layer, int32_t i, int32_t id, float* latent, const Angles& angles, int32_t thread);
  void stage_heads(int32_t layer, int32_t i, float* keys, const float* values, const Angles& angles);

  // The n staged tokens go to their slots, in order, from `position` on.
  void commit(uint64_t position, const int32_t* ids, int32_t n);

  // ---- All tokens ----

  // The newest token leaves; it was at `position`, and nothing was overwritten for it.
  void forget(uint64_t position);

  // Becomes what `other` is. Both were laid out alike.
  void copy_from(const KvCache& other, uint64_t n_tokens);

  // The first n_tokens tokens as bytes, and back. load() is given bytes that nobody vouches for, and answers false, with
  // no token cached, if they are not a state of this shape. Inside Team::assemble().
  size_t max_state_bytes() const;
  size_t save(uint64_t n_tokens, uint8_t* out) const;
  bool load(uint64_t n_tokens, const uint8_t* in, size_t n);

  // A token of the ring, for Materialiser::materialise_tokens().
  CachedToken token(int32_t slot) const;

  bool is_gated() const { return is_gated_; }  // gate `up`: groups() and pool() are in use
  LatentRing& ring() { return ring_; }
  const LatentRing& ring() const { return ring_; }
  const TokenGroups& groups() const { return groups_; }
  const RowPool& pool() const { return pool_; }
  const Materialiser& materialiser() const { return materialiser_; }
  const Materialiser::Scratch& materialiser_scratch(int32_t thread) const { return materialiser_scratch_[thread]; }
  void set_trace(const Trace& trace) { trace_ = trace; }  // of a traced build

 private:
  // A row of the pool to be made again from the cached latents: keys of a slot, or (kGateRow) the gate of an id.
  struct StaleRow {
    int32_t row, slot, id;
  };

  void gate_latent(int32_t layer, int32_t id, float* latent, const Materialiser::Scratch& s) const;
  float store_latent(int32_t layer, int32_t slot, int32_t id, float* latent, const Angles& angles,
                     const Materialiser::Scratch& s);
  void store_heads_at(int32_t layer, int32_t slot, float* keys, const float* values, const Angles& angles);
  void convert_groups(int32_t layer, float scale);
  void mark_stale();
  void add_stale(int32_t row);
  void rebuild(int32_t n_layers);
  void rebuild_run(int32_t layer, const StaleRow* rows, int32_t n, const Materialiser::Scratch& s) const;

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  Plan plan_{};
  bool is_gated_ = false;
  LatentRing ring_;
  TokenGroups groups_;
  RowPool pool_;
  Materialiser materialiser_;
  Materialiser::Scratch* materialiser_scratch_ = nullptr;  // [max_threads]; latent attention
  uint8_t* replaced_ = nullptr;                            // [n_layers, slot bytes]: what the token's slot held before
  Input gate_inputs_[kMaxConversions];                     // [d_e]
  float* gates_[kMaxConversions] = {};                     // [N] padded: of the groups that this token converts
  StaleRow* stale_ = nullptr;                              // [n_rows]
  uint8_t* is_stale_ = nullptr;                            // [n_rows]: in the list
  int32_t* run_ends_ = nullptr;                            // [n_rows]: into the list
  int32_t n_stale_ = 0;
  int32_t id_ = 0, slot_ = 0;
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
