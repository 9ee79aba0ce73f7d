// What happens to one token's vector between the products of a block.
#ifndef PITH_LAYERS_POINTWISE_H
#define PITH_LAYERS_POINTWISE_H

#include <cstdint>

#include "model/config.h"
#include "kernels.h"

namespace pith::internal {

// The block norm of x [d]: out [d]. beta NULL: none.
inline void normalize(const Kernels& k, const Config& c, const float* x, const float* gamma, const float* beta,
                      float* out) {
  if (c.block_norm == BlockNorm::rms) k.rmsnorm(x, gamma, c.block_norm_epsilon, c.width, out);
  else k.layernorm(x, gamma, beta, c.block_norm_epsilon, c.width, out);
}

// The feed-forward's activation, hidden [n] in place. gate [n]: SwiGLU only.
inline void activate(const Kernels& k, const Config& c, const float* gate, int32_t n, float* hidden) {
  switch (c.feed_forward) {
    case FeedForward::swiglu: return k.silu_multiply(gate, hidden, n, hidden);
    case FeedForward::relu2: return k.relu2(hidden, n, hidden);
    case FeedForward::gelu_tanh: return k.gelu_tanh(hidden, n, hidden);
    case FeedForward::gelu_erf: return k.gelu_erf(hidden, n, hidden);
  }
}

}  // namespace pith::internal

#endif
