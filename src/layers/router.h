// Which experts a token goes to, and with which weights.
#ifndef PITH_LAYERS_ROUTER_H
#define PITH_LAYERS_ROUTER_H

#include <cstdint>

#include "kernels.h"
#include "model/config.h"

namespace pith::internal {

// The experts of one token: n_used_experts of them.
struct ExpertChoice {
  int32_t* experts;  // rising
  float* weights;    // of each
};

// scores [E]: the router's logits, which become scores: a softmax over all of them, or sigmoids. Then, among the
// experts of the groups that score best, those with the highest scores are chosen; of equal ones that with the lowest
// number. `correction` [E] or NULL is added to scores to choose, not to weigh. What is not finite and decides the
// choice makes weights that are not numbers.
//   a group's score: its best expert's (softmax), the sum of its two best ones' (sigmoid)
//   weights: the scores, divided by their sum where the model has it so, times the model's scale
void choose_experts(const Kernels& kernels, const Config& config, const float* correction, float* scores,
                    ExpertChoice choice);

}  // namespace pith::internal

#endif
