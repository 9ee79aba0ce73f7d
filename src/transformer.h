// The forward pass of one token.
#ifndef PITH_TRANSFORMER_H
#define PITH_TRANSFORMER_H

#include <atomic>
#include <cstdint>

#include "attention.h"
#include "linear.h"
#include "parallel.h"
#include "plan.h"
#include "trace.h"
#include "weights.h"

namespace pith {

class Transformer {
 public:
  void lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena);

  // Runs token `id` at `position` through all layers and into the cache; fills logits() if they are wanted.
  // `is_cancelled` is looked at before every layer and before the logits: once it is set, the token is taken back and
  // the result is false.
  bool step(int32_t id, uint64_t position, bool wants_logits, const std::atomic<bool>& is_cancelled);

  float* logits() { return logits_; }  // [V]
  const float* logits() const { return logits_; }
  Attention& attention() { return attention_; }
  const Attention& attention() const { return attention_; }
  void set_trace(const Trace& trace) {  // of a traced build
    trace_ = trace;
    attention_.set_trace(trace);
  }

 private:
  void embed(int32_t id);
  Activation normalize(const float* gamma, const float* beta);
  void feed_forward(const Layer& layer, Activation x);
  void add_to_residual(const Linear& w, const Input& input);
  void project_logits();

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  bool activations_i8_ = true;
  Attention attention_;
  float* residual_ = nullptr;  // [d]
  float* delta_ = nullptr;     // [d], padded: what a block adds
  Input normed_;               // [d]
  Input heads_;                // [n_h d_v]: attention's output
  Input hidden_;               // [feed-forward]
  float* gate_ = nullptr;      // [feed-forward], padded; SwiGLU
  float* logits_ = nullptr;    // [V], padded
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith

#endif
