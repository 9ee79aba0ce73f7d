// What every part of a session stands on: the model, the plan, the team. A part is laid out once and refers to them
// from then on.
#ifndef PITH_LAYERS_PART_H
#define PITH_LAYERS_PART_H

#include "ground/arena.h"
#include "layers/chunk.h"

namespace pith::internal {

class Part {
 protected:
  void refer_to(const Setup& setup) {
    config_ = &setup.config;
    weights_ = &setup.weights;
    kernels_ = setup.plan.kernels;
    team_ = &setup.team;
    plan_ = setup.plan;
  }

  // Scratch for each of the plan's threads: lay_out(&scratch) places what one of them needs.
  template <typename Scratch, typename F>
  Scratch* take_scratch(Arena* arena, const F& lay_out) const {
    Scratch* all = arena->take<Scratch>(size_t(plan_.max_threads));
    for (int32_t thread = 0; thread < plan_.max_threads; ++thread) {
      Scratch s{};
      lay_out(&s);
      if (!arena->is_measuring()) all[thread] = s;
    }
    return all;
  }

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  Plan plan_{};
};

}  // namespace pith::internal

#endif
