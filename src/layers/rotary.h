// Rotary position embedding: the angles of a position, and what is rotated by them.
#ifndef PITH_LAYERS_ROTARY_H
#define PITH_LAYERS_ROTARY_H

#include <cstdint>

#include "ground/arena.h"
#include "model/config.h"
#include "kernels.h"
#include "model/plan.h"
#include "model/weights.h"

namespace pith::internal {

// cos and sin of the angles of one position. The pinned tokens of a full ring are seen at another: they keep the distance
// that they had when it became full, the longest that they ever show.
class Angles {
 public:
  void lay_out(const Config& config, Arena* arena);
  void set(const Kernels& kernels, const Plan& plan, const Weights& weights, uint64_t position);

  // Rotates x [d_r] in place.
  void rotate(const Kernels& kernels, const Config& config, bool is_pinned, float* x) const;

 private:
  int32_t n_ = 0;          // d_r / 2
  float* turn_ = nullptr;  // [2: window, pinned][2: cos, sin][d_r / 2]
};

}  // namespace pith::internal

#endif
