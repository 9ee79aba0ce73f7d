// Attention as the forward pass asks for it: a chunk of tokens, layer by layer. What differs is below:
//
//   prefill_attention        a chunk of a prompt
//   and of a step, by the plan's form (of several, one after the other: each sees those before it):
//   grouped_attention        gated models: queries are absorbed once per distinct id; rare ids read rows of the pool
//   materialised_attention   keys and values of every cached token are materialised from its latent
//   absorbed_attention       no gate between latent and keys: scores and sums on the latents themselves
//   head_attention           MHA: keys and values are cached as they are
//
// gamma and beta of norm_g, and the score scale, are folded into W_Q and W_O (docs/design.md).
#ifndef PITH_ATTENTION_ATTENTION_H
#define PITH_ATTENTION_ATTENTION_H

#include <cstdint>

#include "attention/absorbed_attention.h"
#include "attention/grouped_attention.h"
#include "attention/head_attention.h"
#include "attention/materialised_attention.h"
#include "attention/prefill_attention.h"
#include "attention/projection.h"
#include "attention/step.h"
#include "cache/kv_cache.h"
#include "layers/part.h"

namespace pith::internal {

class Attention : Part {
 public:
  void lay_out(const Setup& setup, Arena* arena);

  // The chunk that the following calls are about. Its tokens enter the cache; in every layer project() all its batches,
  // then attend(), then load() them; at the end commit() or roll_back().
  void begin(const Chunk& chunk);

  // Queries of a batch, and what the cache keeps of it. x: its normed residual stream, prepared for
  // projection_readers().
  void project(int32_t layer, const Batch& batch, Activation x);

  // All tokens of the chunk, each over those that it sees.
  void attend(int32_t layer);

  // The heads' outputs of a batch: columns of n_h d_v, the input of W_O.
  void load(int32_t layer, const Batch& batch, const Columns& heads) const;

  void commit() { cache_.commit(); }
  // Takes the chunk back, of which layers [0, n_layers) were projected.
  void roll_back(int32_t n_layers) { cache_.roll_back(n_layers); }

  KvCache& cache() { return cache_; }
  const KvCache& cache() const { return cache_; }
  uint64_t nanoseconds() const { return nanoseconds_; }
  void set_trace(const Trace& trace) {  // of a traced build
    trace_ = step_.trace = trace;
    cache_.set_trace(trace);
    prefill_.set_trace(trace);
  }

 private:
  class Stopwatch;

  void set_step(int32_t layer, int32_t token);
  void attend_step(int32_t layer, int32_t token);

  KvCache cache_;
  AngleTable angles_;
  Projection projection_;
  Step step_;
  HeadAttention head_;
  MaterialisedAttention materialised_;
  AbsorbedAttention absorbed_;
  GroupedAttention grouped_;
  PrefillAttention prefill_;
  Chunk chunk_;
  float* step_heads_ = nullptr;  // [max_steps, n_h d_v]: the outputs of steps
  uint64_t nanoseconds_ = 0;
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
