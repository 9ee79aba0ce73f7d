// Log-probabilities of tokens, from logits: log softmax, in double and in the order of ids.
#ifndef PITH_SESSION_LOG_PROBABILITY_H
#define PITH_SESSION_LOG_PROBABILITY_H

#include <cstdint>

#include "pith/pith.h"

namespace pith::internal {

// Logits of which a token can be drawn: finite or -infinity, and not all -infinity. *out_largest: the largest of them.
pith_status check_logits(const float* logits, int32_t vocab_size, float* out_largest, pith_error* error);

// ln of the sum of e^(x - largest) over all logits x, which check_logits accepts.
double log_sum_exp(const float* logits, int32_t vocab_size, float largest);

// top [k], k <= vocab_size: the k likeliest tokens, the likeliest first, of equal logits the lowest id first.
void find_likeliest(const float* logits, int32_t vocab_size, uint32_t k, pith_logprob* top);

}  // namespace pith::internal

#endif
