// The forward pass of a chunk of tokens: of a prompt, or of a few steps, which are decoding.
#ifndef PITH_FORWARD_TRANSFORMER_H
#define PITH_FORWARD_TRANSFORMER_H

#include <atomic>
#include <cstdint>

#include "attention/attention.h"
#include "ground/trace.h"
#include "layers/chunk.h"
#include "layers/dense_feed_forward.h"
#include "layers/expert_feed_forward.h"
#include "layers/linear.h"
#include "layers/part.h"

namespace pith::internal {

// What of a chunk is wanted beyond its cache.
struct Outputs {
  bool has_last = false;          // logits() and hidden() of the last token
  float* every_logits = nullptr;  // [n, V] of every token, or NULL
  float* every_hidden = nullptr;  // [n, d] likewise
};

class Transformer : Part {
 public:
  void lay_out(const Setup& setup, Arena* arena);

  // Runs the chunk through all layers and into the cache, and computes the outputs. `is_cancelled` is looked at before
  // every layer and before the outputs: once it is set, the chunk is taken back and the result is false. progress(n)
  // after every layer: it counts n steps.
  template <typename Progress>
  bool run(const Chunk& chunk, const Outputs& outputs, const std::atomic<bool>& is_cancelled,
           const Progress& progress) {
    begin(chunk);
    for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
      if (is_cancelled.load(std::memory_order_relaxed)) return take_back(layer);
      run_layer(layer);
      progress(chunk.n);
    }
    if (is_cancelled.load(std::memory_order_relaxed)) return take_back(config_->n_layers);
    attention_.commit();
    finish(outputs);
    return true;
  }

  // What goes through the layers together of n tokens that come next, at `position`: a prompt where materialising keys
  // and values of the whole context pays, otherwise steps. (A trace has steps one by one.)
  Chunk cut(const int32_t* ids, size_t n, uint64_t position) const {
    const int32_t whole = int32_t(std::min(n, size_t(plan_.chunk)));
    const bool is_prompt = plan_.chunk > 1 && whole >= least_prompt(plan_.form);
    if (is_prompt) return {ids, whole, position, true};
    return {ids, trace_.is_on() ? 1 : std::min(whole, max_steps(*config_, plan_)), position, false};
  }

  float* logits() { return logits_; }  // [V]
  const float* logits() const { return logits_; }
  float* hidden() { return hidden_; }  // [d]: normed, the input of the output matrix
  const float* hidden() const { return hidden_; }
  KvCache& cache() { return attention_.cache(); }
  const KvCache& cache() const { return attention_.cache(); }
  uint64_t attention_nanoseconds() const { return attention_.nanoseconds(); }
  void set_trace(const Trace& trace) {  // of a traced build
    trace_ = trace;
    attention_.set_trace(trace);
    experts_.set_trace(trace);
  }

 private:
  // What one thread needs, for a batch of tokens.
  struct Scratch {
    Columns normed;  // columns of d
    Columns heads;   // columns of n_h d_v: attention's output
    float* delta;    // [batch, d padded]: what a half of a layer adds
  };

  void begin(const Chunk& chunk);
  void run_layer(int32_t layer);
  bool take_back(int32_t n_layers);
  void finish(const Outputs& outputs);

  template <typename F>
  void for_batches(const F& f);
  void run_attention(int32_t layer);
  void add_attention(int32_t layer, const Batch& batch);
  void run_feed_forward(int32_t layer);
  void run_experts(int32_t layer);
  void normalize_batch(const Batch& batch, const float* gamma, const float* beta);
  Activation prepare_normed(const Batch& batch, WeightType readers) const;
  void add_to_residual(const Batch& batch, const float* delta);
  void compute_last(const Outputs& outputs);
  void compute_every(const Outputs& outputs);
  Activation output_in(const Batch& batch, float* hidden);
  inline void trace_columns(const char* name, int32_t layer, const Batch& batch, const Columns& columns) const;
  inline void trace_delta(const char* name, int32_t layer, const Batch& batch, const float* delta) const;
  const Scratch& scratch(const Batch& batch) const { return scratch_[batch.worker.thread]; }
  float* residual(int32_t token) const { return residual_ + size_t(token) * size_t(config_->width); }

  Attention attention_;
  DenseFeedForward dense_;
  ExpertFeedForward experts_;
  Chunk chunk_;
  float* residual_ = nullptr;   // [chunk, d]
  float* hidden_ = nullptr;     // [d]
  float* logits_ = nullptr;     // [V], padded
  Scratch* scratch_ = nullptr;  // [max_threads]
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
