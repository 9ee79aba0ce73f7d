#include "session/log_probability.h"

#include <algorithm>

#include "ground/status.h"
#include "session/exponential.h"

namespace pith::internal {
namespace {

constexpr float kInfinity = __builtin_inff();

bool is_likelier(const pith_logprob& a, const pith_logprob& b) {
  return a.logprob != b.logprob ? a.logprob > b.logprob : a.token < b.token;
}

}  // namespace

pith_status check_logits(const float* logits, int32_t vocab_size, float* out_largest, pith_error* error) {
  float largest = -kInfinity;
  for (int32_t i = 0; i < vocab_size; ++i) {
    if (!(logits[i] < kInfinity))  // NaN too
      return fail(error, PITH_E_NUMERIC, "argument logits: that of token ", i, " is NaN or infinity");
    if (logits[i] > largest) largest = logits[i];
  }
  if (largest == -kInfinity)
    return fail(error, PITH_E_NUMERIC, "argument logits: all of them are -infinity; leave a token that may be drawn");
  *out_largest = largest;
  return PITH_OK;
}

double log_sum_exp(const float* logits, int32_t vocab_size, float largest) {
  double total = 0;  // at least 1, for the largest is among them
  for (int32_t i = 0; i < vocab_size; ++i) total += exp_negative(double(logits[i]) - double(largest));
  return ln_above_one(total);
}

// A heap whose first is the least likely of those kept.
void find_likeliest(const float* logits, int32_t vocab_size, uint32_t k, pith_logprob* top) {
  if (k == 0) return;
  for (uint32_t i = 0; i < k; ++i) top[i] = {int32_t(i), logits[i]};
  std::make_heap(top, top + k, is_likelier);
  for (int32_t i = int32_t(k); i < vocab_size; ++i) {
    if (!(logits[i] > top[0].logprob)) continue;
    std::pop_heap(top, top + k, is_likelier);
    top[k - 1] = {i, logits[i]};
    std::push_heap(top, top + k, is_likelier);
  }
  std::sort_heap(top, top + k, is_likelier);
}

}  // namespace pith::internal
