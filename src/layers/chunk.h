// What goes through the layers together, and who computes it.
//
// A chunk is a run of tokens: of a prompt, or a few decoding steps. Between the joins of a layer a prompt's chunk is
// cut into batches, one at a time for every thread. Steps are one batch of the calling thread, whose products the whole
// team computes: what they share is the reading of the weights, and every one gets the bits that it would get alone.
#ifndef PITH_LAYERS_CHUNK_H
#define PITH_LAYERS_CHUNK_H

#include <algorithm>
#include <cstdint>

#include "ground/parallel.h"
#include "kernels.h"
#include "model/config.h"
#include "model/plan.h"
#include "model/weights.h"
#include "packed.h"

namespace pith::internal {

// What the parts of a session are laid out for. They keep what it refers to, which outlives them.
struct Setup {
  const Config& config;
  const Weights& weights;
  const Plan& plan;
  Team& team;

  const Kernels& kernels() const { return *plan.kernels; }
};

// Steps that are taken together, at most. More tokens are a prompt (least_prompt).
constexpr int32_t kMaxSteps = 7;

struct Chunk {
  const int32_t* ids = nullptr;  // [n]
  int32_t n = 0;                 // 1 .. plan.chunk; of steps at most max_steps
  uint64_t position = 0;         // of the first token
  bool is_prompt = false;        // otherwise decoding steps
};

// Of models with gate `up` every token changes what the pool holds for the next one: their steps are taken one by one.
inline int32_t max_steps(const Config& config, const Plan& plan) {
  return config.gate == Gate::up ? 1 : std::min(plan.chunk, kMaxSteps);
}

struct Worker {
  Team* team;      // computes products with it; NULL: it is on its own
  int32_t thread;  // its number: whose scratch it uses
};

// Tokens [first, first + n) of a chunk, n <= max_batch.
struct Batch {
  int32_t first, n;
  Worker worker;
};

constexpr int32_t quotient_up(int32_t a, int32_t b) { return (a + b - 1) / b; }

// Columns that products of integers take at once: batches are whole ones.
constexpr int32_t whole_panels(int32_t n) { return quotient_up(n, kPanelRows) * kPanelRows; }

// Many threads share the chunk in small batches: together they need memory for little more than the chunk.
inline int32_t max_batch(const Plan& plan) {
  constexpr int32_t kMaxBatch = 64;
  return plan.chunk == 1 ? 1 : std::min(whole_panels(quotient_up(plan.chunk, plan.max_threads)), kMaxBatch);
}

}  // namespace pith::internal

#endif
