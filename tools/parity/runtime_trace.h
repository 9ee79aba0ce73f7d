// The runtime's trace: a session of the traced library evaluates the tokens, chunk by chunk as its options say (chunk 1: one by
// one). What the packed file has folded is
// undone, from the gamma and beta that it keeps beside the folded matrices:
//
//   q         content lanes / (gamma_k s), rotary lanes / (s m)      s: score scale, m: LongRoPE's magnitude
//   k, v      times gamma, plus beta
//   scores    plus q . beta_k s, a constant of a token and head, which the softmax does not see
//   heads     times gamma_v, plus beta_v
//   k_rope    times m (and the keys of MHA)
//
// c and k_rope are read from the cache, as they are stored there. k, v and scores exist where keys are materialised: of MHA, with
// attention `materialise`, and of the tokens of a chunk. A layer with a gamma_k of 0 has no q and no scores: the fold has erased
// a lane.
#ifndef PITH_PARITY_RUNTIME_TRACE_H
#define PITH_PARITY_RUNTIME_TRACE_H

#include <vector>

#include "forward_trace.h"
#include "pith/pith.hpp"

namespace pith::parity {

// options: capacity, n_keep and max_threads are set here, to the tokens, 0 and 1.
ForwardTrace trace_runtime(const Model& model, pith_session_options options, const std::vector<int32_t>& tokens);

}  // namespace pith::parity

#endif
