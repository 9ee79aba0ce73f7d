#include "layers/router.h"

namespace pith::internal {
namespace {

void softmax(const Kernels& kernels, int32_t n, float* x) {
  const float sum = kernels.exp_sum(x, kernels.max(x, n), n);
  for (int32_t i = 0; i < n; ++i) x[i] /= sum;
}

// 1 / (1 + exp(-x)), by exponentials of what is not positive.
void sigmoid(const Kernels& kernels, int32_t n, float* x) {
  float e[kMaxExperts];
  for (int32_t i = 0; i < n; ++i) e[i] = -__builtin_fabsf(x[i]);
  kernels.exp_sum(e, 0, n);
  for (int32_t i = 0; i < n; ++i) x[i] = (x[i] < 0 ? e[i] : 1.0f) / (1.0f + e[i]);
}

// What is not a number ranks first, so that it shows.
bool is_better(float a, float b) { return a > b || (a != a && b == b); }

// Where the best of x [n] is that is not taken, the first of equal ones; one is left.
int32_t best_left(const float* x, const bool* is_taken, int32_t n) {
  int32_t best = -1;
  for (int32_t i = 0; i < n; ++i) {
    if (!is_taken[i] && (best < 0 || is_better(x[i], x[best]))) best = i;
  }
  return best;
}

float group_score(const float* x, int32_t n, ExpertGating gating) {
  float best = x[0], second = -__builtin_inff();
  for (int32_t i = 1; i < n; ++i) {
    if (is_better(x[i], best)) {
      second = best;
      best = x[i];
    } else if (is_better(x[i], second)) {
      second = x[i];
    }
  }
  return gating == ExpertGating::softmax || n == 1 ? best : best + second;
}

// Takes the experts of all groups but the best.
void take_groups(const Config& c, const float* x, bool* is_taken) {
  const int32_t n = c.n_expert_groups, size = c.group_experts();
  float scores[kMaxExperts];
  bool is_chosen[kMaxExperts] = {};
  for (int32_t g = 0; g < n; ++g) scores[g] = group_score(x + g * size, size, c.expert_gating);
  for (int32_t i = 0; i < c.n_used_expert_groups; ++i) is_chosen[best_left(scores, is_chosen, n)] = true;
  for (int32_t i = 0; i < c.n_experts; ++i) is_taken[i] = !is_chosen[i / size];
}

void weigh(const Config& c, const float* scores, const float* corrected, ExpertChoice choice) {
  constexpr float kLeast = 1e-20f;  // added to the sum, which may be 0
  float sum = 0;
  for (int32_t i = 0; i < c.n_used_experts; ++i) sum += scores[choice.experts[i]];
  for (int32_t i = 0; i < c.n_used_experts; ++i) {
    const int32_t expert = choice.experts[i];
    // A correction that is not finite must show: of any other, the difference is 0.
    const float score = scores[expert] + (corrected[expert] - corrected[expert]);
    choice.weights[i] = (c.expert_weights_norm ? score / (sum + kLeast) : score) * c.expert_weights_scale;
  }
}

}  // namespace

void choose_experts(const Kernels& kernels, const Config& c, const float* correction, float* scores,
                    ExpertChoice choice) {
  if (c.expert_gating == ExpertGating::softmax) softmax(kernels, c.n_experts, scores);
  else sigmoid(kernels, c.n_experts, scores);
  float corrected[kMaxExperts];
  for (int32_t i = 0; i < c.n_experts; ++i) corrected[i] = scores[i] + (correction == nullptr ? 0 : correction[i]);
  bool is_taken[kMaxExperts] = {}, is_chosen[kMaxExperts] = {};
  if (c.n_used_expert_groups < c.n_expert_groups) take_groups(c, corrected, is_taken);
  for (int32_t i = 0; i < c.n_used_experts; ++i) {
    const int32_t best = best_left(corrected, is_taken, c.n_experts);
    is_taken[best] = is_chosen[best] = true;
  }
  int32_t n = 0;
  for (int32_t i = 0; i < c.n_experts; ++i) {
    if (is_chosen[i]) choice.experts[n++] = i;
  }
  weigh(c, scores, corrected, choice);
}

}  // namespace pith::internal
