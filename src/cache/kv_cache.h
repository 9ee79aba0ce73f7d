// The KV cache: what attention keeps of the tokens. The ring of latents (or of keys and values, MHA), and of models
// with gate `up` the groups of ids and the pool of rows. The tokens of a chunk enter together: begin(), then in every
// layer begin_layer() and store(), then commit() or roll_back(). A step is stored in its slot when its turn comes,
// and what the slot held is put aside; the tokens of a prompt wait in slots of their own, so that all of them still see
// the older ones. The whole goes into bytes and comes back.
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
#include "layers/part.h"

namespace pith::internal {

class KvCache : Part {
 public:
  static constexpr int32_t kMaxConversions = TokenGroups::kMaxConversions;

  void lay_out(const Setup& setup, Arena* arena);

  // No token is cached any more.
  void reset();

  // ---- A chunk ----

  void begin(const Chunk& chunk);
  // Where a token of the chunk is stored.
  int32_t slot_of(int32_t token) const {
    return chunk_.is_prompt ? ring_.staged_slot(token) : ring_.slot_of(chunk_.position + uint64_t(token));
  }

  // Before a layer's stores. Appends to `products` the gates that a step needs in this layer and no row holds, for the
  // caller to compute; returns how many.
  size_t begin_layer(int32_t layer, Product* products);

  // latent [r + d_r]: W_DKV x, then W_KR x. Both are changed. Several threads at the same time, for tokens of their
  // own. Returns what CachedToken::scale takes.
  float store(int32_t layer, int32_t token, float* latent, const Angles& angles, int32_t thread);
  // keys and values [n_kv d_v], not rotated yet; MHA.
  void store_heads(int32_t layer, int32_t token, float* keys, const float* values, const Angles& angles);

  // After all layers: the tokens are cached.
  void commit();
  // Takes the tokens back, of which layers [0, n_layers) were stored: everything is as it was before begin().
  void roll_back(int32_t n_layers);

  // ---- All tokens ----

  // The newest token leaves; it was at `position`, and nothing was overwritten for it.
  void forget(uint64_t position);

  // Becomes what `other` is. Both were laid out alike.
  void copy_from(const KvCache& other, uint64_t n_tokens);

  // The first n_tokens tokens as bytes, and back. load() is given bytes that nobody vouches for, and answers false,
  // with no token cached, if they are not a state of this shape. Inside Team::assemble().
  size_t max_state_bytes() const;
  size_t save(uint64_t n_tokens, uint8_t* out) const;
  bool load(uint64_t n_tokens, const uint8_t* in, size_t n);

  // A token of the ring, for Materialiser::materialise_tokens().
  CachedToken token(int32_t slot) const;
  // Likewise one of the chunk, whose scale the caller adds.
  CachedToken chunk_token(int32_t token) const;

  bool is_gated() const { return is_gated_; }  // gate `up`: groups() and pool() are in use
  LatentRing& ring() { return ring_; }
  const LatentRing& ring() const { return ring_; }
  const TokenGroups& groups() const { return groups_; }
  const RowPool& pool() const { return pool_; }
  const Materialiser& materialiser() const { return materialiser_; }
  const RowShape& row_shape() const { return materialiser_.rows(); }
  const Materialiser::Scratch& materialiser_scratch(int32_t thread) const { return materialiser_scratch_[thread]; }
  void set_trace(const Trace& trace) {  // of a traced build
    trace_ = trace;
    materialiser_.set_trace(trace);
  }

 private:
  // A row of the pool to be made again from the cached latents: keys of a slot, or (kGateRow) the gate of an id.
  struct StaleRow {
    int32_t row, slot, id;
  };

  uint8_t* replaced(int32_t layer, int32_t step) const {
    return replaced_ + size_t(layer * max_steps(*config_, plan_) + step) * ring_.slot_bytes();
  }
  void gate_latent(int32_t layer, int32_t token, float* latent, const Materialiser::Scratch& s) const;
  void convert_groups(int32_t layer, float scale);
  void mark_stale();
  void add_stale(int32_t row);
  void rebuild(int32_t n_layers);
  void rebuild_run(int32_t layer, const StaleRow* rows, int32_t n, const Materialiser::Scratch& s) const;

  bool is_gated_ = false;
  LatentRing ring_;
  TokenGroups groups_;
  RowPool pool_;
  Materialiser materialiser_;
  Materialiser::Scratch* materialiser_scratch_ = nullptr;  // [max_threads]; latent attention
  uint8_t* replaced_ = nullptr;                            // [n_layers, max_steps, slot bytes]: what slots held before
  Columns gate_inputs_[kMaxConversions];                   // a column of d_e
  float* gates_[kMaxConversions] = {};                     // [N] padded: of the groups that this token converts
  StaleRow* stale_ = nullptr;                              // [n_rows]
  uint8_t* is_stale_ = nullptr;                            // [n_rows]: in the list
  int32_t* run_ends_ = nullptr;                            // [n_rows]: into the list
  int32_t n_stale_ = 0;
  Chunk chunk_;
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
