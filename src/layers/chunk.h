// What goes through the layers together, and who computes it.
//
// A chunk is a run of tokens; one token is a decoding step. Between the joins of a layer a chunk is cut into batches,
// one at a time for every thread. The one token of a step is a batch of the calling thread, whose products the whole
// team computes.
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

struct Chunk {
  const int32_t* ids = nullptr;  // [n]
  int32_t n = 0;                 // 1 .. plan.chunk
  uint64_t position = 0;         // of the first token

  bool is_step() const { return n == 1; }
};

struct Worker {
  Team* team;      // computes products of one column with it; NULL: it is on its own
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
