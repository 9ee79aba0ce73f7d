// The forward pass: of one token, or of a prompt chunk by chunk.
#ifndef PITH_FORWARD_TRANSFORMER_H
#define PITH_FORWARD_TRANSFORMER_H

#include <atomic>
#include <cstdint>

#include "attention/attention.h"
#include "layers/linear.h"
#include "ground/parallel.h"
#include "model/plan.h"
#include "forward/prefill.h"
#include "cache/kv_cache.h"
#include "ground/trace.h"
#include "model/weights.h"

namespace pith::internal {

class Transformer {
 public:
  void lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena);

  // Runs token `id` at `position` through all layers and into the cache; fills logits() if they are wanted.
  // `is_cancelled` is looked at before every layer and before the logits: once it is set, the token is taken back and
  // the result is false.
  bool step(int32_t id, uint64_t position, bool wants_logits, const std::atomic<bool>& is_cancelled);

  // Whether n tokens are worth a chunk: recomputing keys and values of the whole context has to pay.
  bool is_prompt(size_t n) const;

  // The same for a chunk of n <= plan.chunk tokens, from `position` on; progress(n) after every layer: it counts n steps.
  template <typename Progress>
  bool prefill(const int32_t* ids, int32_t n, uint64_t position, bool wants_logits,
               const std::atomic<bool>& is_cancelled, const Progress& progress) {
    prefill_.begin(ids, n, position);
    for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
      if (is_cancelled.load(std::memory_order_relaxed)) return false;
      prefill_.run_layer(layer);
      progress(n);
    }
    if (is_cancelled.load(std::memory_order_relaxed)) return false;
    finish_prefill(wants_logits);
    return true;
  }

  float* logits() { return logits_; }  // [V]
  const float* logits() const { return logits_; }
  KvCache& cache() { return cache_; }
  const KvCache& cache() const { return cache_; }
  void set_trace(const Trace& trace) {  // of a traced build
    trace_ = trace;
    cache_.set_trace(trace);
    attention_.set_trace(trace);
  }
  uint64_t attention_nanoseconds() const { return attention_.nanoseconds() + prefill_.nanoseconds(); }

 private:
  void embed(int32_t id);
  Activation prepare_normed(const float* gamma, const float* beta);
  void feed_forward(const Layer& layer, Activation x);
  void add_to_residual(const Linear& w, const Input& input);
  void project_logits();
  void finish_prefill(bool wants_logits);

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  Plan plan_{};
  KvCache cache_;
  Attention attention_;
  Prefill prefill_;
  float* residual_ = nullptr;  // [d]
  float* delta_ = nullptr;     // [d], padded: what a block adds
  Input normed_;               // [d]
  Input heads_;                // [n_h d_v]: attention's output
  Input hidden_;               // [feed-forward]
  float* gate_ = nullptr;      // [feed-forward], padded; SwiGLU
  float* logits_ = nullptr;    // [V], padded
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
