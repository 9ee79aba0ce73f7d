// The forward pass of a prompt: a chunk of tokens, layer after layer, so that weights are read once for many tokens and
// products of matrices compute them. Between the joins of attention every thread takes whole tokens, a batch at a time.
#ifndef PITH_FORWARD_PREFILL_H
#define PITH_FORWARD_PREFILL_H

#include <cstdint>

#include "layers/linear.h"
#include "ground/parallel.h"
#include "model/plan.h"
#include "attention/prefill_attention.h"
#include "layers/rotary.h"
#include "cache/kv_cache.h"
#include "model/weights.h"

namespace pith::internal {

class Prefill {
 public:
  void lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, KvCache* cache,
               Arena* arena);

  // The chunk `ids` [n], 1 <= n <= plan.chunk, from `position` on: begin(), run_layer() for all layers in order, then
  // commit(). Until commit() the cache is as it was.
  void begin(const int32_t* ids, int32_t n, uint64_t position);
  void run_layer(int32_t layer);
  void commit();

  // After the last layer: the residual stream [d] of the chunk's last token.
  const float* last_residual() const { return residual_of(n_ - 1); }

  uint64_t nanoseconds() const { return nanoseconds_; }  // in attention

 private:
  static constexpr int32_t kMaxBatch = 64;

  // What one thread needs, for a batch of tokens: batch <= kMaxBatch of them.
  struct Scratch {
    Columns normed;        // [batch] columns of d
    Columns query_latent;  // [batch] columns of the query latent
    Columns heads;         // [batch] columns of n_h d_v
    Columns hidden;        // [batch] columns of the feed-forward
    float* query;          // [batch, query width padded]
    float* latent;         // [batch, r + d_r padded]; latent attention
    float* keys;           // [batch, n_kv d_v padded]; MHA
    float* values;         // [batch, n_kv d_v padded]; MHA
    float* gate;           // [batch, feed-forward padded]; SwiGLU
    float* delta;          // [batch, d padded]: what a block adds
    Angles angles;
  };

  float* residual_of(int32_t i) const { return residual_ + size_t(i) * size_t(config_->width); }
  template <typename F>
  void for_batches(const F& f);
  void project(int32_t layer, int32_t first, int32_t n, int32_t thread);
  void project_mha(const Layer& layer, Activation x, int32_t n, const Scratch& s) const;
  void project_latent(const Layer& layer, Activation x, int32_t n, const Scratch& s) const;
  void feed_forward(const Layer& layer, int32_t first, int32_t n, const Scratch& s);
  Activation normalize_batch(const float* gamma, const float* beta, int32_t first, int32_t n, WeightType readers,
                             const Scratch& s) const;
  void add_to_residual(const Linear& w, const Columns& columns, int32_t first, int32_t n, const Scratch& s);

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  KvCache* cache_ = nullptr;
  Plan plan_{};
  int32_t batch_ = 0;
  PrefillAttention attention_;
  Scratch* scratch_ = nullptr;    // [max_threads]
  float* residual_ = nullptr;     // [chunk, d]
  const int32_t* ids_ = nullptr;  // of this chunk
  int32_t n_ = 0;
  uint64_t position_ = 0;
  uint64_t nanoseconds_ = 0;
};

}  // namespace pith::internal

#endif
