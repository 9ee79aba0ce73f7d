// A feed-forward that all tokens go through: y = W_down activation(W_up x, W_gate x). Also that of shared experts.
#ifndef PITH_LAYERS_DENSE_FEED_FORWARD_H
#define PITH_LAYERS_DENSE_FEED_FORWARD_H

#include "layers/linear.h"
#include "layers/part.h"

namespace pith::internal {

class DenseFeedForward : Part {
 public:
  void lay_out(const Setup& setup, Arena* arena);

  // x: a batch's columns, prepared for what reads them; y: [batch.n, d padded].
  void compute(const Layer& w, Activation x, const Batch& batch, float* y) const;

 private:
  // What one thread needs, for a batch of tokens.
  struct Scratch {
    Columns hidden;
    float* gate;  // [batch, feed-forward padded]; SwiGLU
  };

  Scratch* scratch_ = nullptr;  // [max_threads]
};

}  // namespace pith::internal

#endif
