// The feed-forward of layers with experts: a router chooses some for every token, and their outputs are added up, each
// times its weight, in the order of their numbers.
//
// Threads share the rows of an expert's matrices, not the experts. A step reads the chosen experts and no other. Of a
// chunk, the tokens of one expert after the other are gathered, so that its matrices are read once for all of them; a
// token's numbers are those that it would have by itself.
#ifndef PITH_LAYERS_EXPERT_FEED_FORWARD_H
#define PITH_LAYERS_EXPERT_FEED_FORWARD_H

#include "ground/trace.h"
#include "layers/linear.h"
#include "layers/part.h"
#include "layers/router.h"

namespace pith::internal {

class ExpertFeedForward : Part {
 public:
  void lay_out(const Setup& setup, Arena* arena);  // nothing for a model without experts

  // Chooses the experts of a batch. x: its normed residual stream, padded and not rounded.
  void route(int32_t layer, const Batch& batch, const Columns& x);

  // After all batches were routed: adds the weighed outputs of a chunk's tokens to sum(token). only: the input of a
  // chunk of one token, as prepared for the layer.
  void compute(int32_t layer, int32_t n_tokens, Activation only);

  float* sum(int32_t token) const { return sums_ + size_t(token) * size_t(padded_rows(config_->width)); }  // [d padded]

  void set_trace(const Trace& trace) { trace_ = trace; }  // of a traced build

 private:
  // Tokens of one expert that go through it together.
  struct Gathered {
    const int32_t* places;  // [n]: numbers of choices, of which a token has n_used_experts
    int32_t n;
  };
  struct Slice {  // of one thread: rows of a product
    float* gate;
    float* y;
  };

  void compute_step(const Layer& w, Activation x);
  void sort_by_expert(int32_t n_tokens);
  void compute_gathered(const Layer& w, int32_t expert, const Gathered& tokens);
  void gather(const Gathered& tokens, WeightType readers);
  void run_hidden(const Layer& w, int32_t expert, int32_t n);
  void run_output(const Layer& w, int32_t expert, const Gathered& tokens);
  ExpertChoice choice(int32_t token) const {
    const int32_t first = token * config_->n_used_experts;
    return {experts_ + first, expert_weights_ + first};
  }
  inline void trace_choice(int32_t layer, int32_t token, const float* scores) const;

  float** scores_ = nullptr;         // [max_threads] of [batch, E padded]
  int32_t* experts_ = nullptr;       // [chunk, used]
  float* expert_weights_ = nullptr;  // [chunk, used]
  float* sums_ = nullptr;            // [chunk, d padded]
  Columns hidden_;                // columns of an expert's hidden channels: of gathered tokens, or of a step's experts
  float* step_gate_ = nullptr;    // [used, expert padded]; SwiGLU
  float* step_output_ = nullptr;  // [used, d padded]
  // Of chunks alone.
  float* inputs_ = nullptr;    // [chunk, d padded to blocks]
  int32_t* first_ = nullptr;   // [E + 1]: where an expert's places begin
  int32_t* places_ = nullptr;  // [chunk, used], by expert
  Columns gathered_;           // columns of d
  Slice* slices_ = nullptr;    // [max_threads] of [gathered columns, rows of a slice]
  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
