// The plan of a session: the caller's options, checked and resolved against a model.
#ifndef PITH_MODEL_PLAN_H
#define PITH_MODEL_PLAN_H

#include <cstdint>

#include "model/config.h"
#include "ground/parallel.h"
#include "kernels.h"
#include "model/precision.h"

namespace pith::internal {

enum class AttentionForm : uint8_t { grouped, materialise, absorbed, mha };

constexpr int32_t kTileSlots = 64;  // slots of the ring that one attention tile covers

// pith_progress of the C ABI.
using ProgressCallback = void (*)(void* progress_context, uint64_t done, uint64_t total);

// pool_bytes: the default share of the capacity (cache/row_pool.cpp).
constexpr uint64_t kDefaultPool = UINT64_MAX;

struct Plan {
  AttentionForm form;
  Precision cache, activations;
  int32_t capacity;  // slots of the ring
  int32_t n_keep;    // of these, pinned
  int32_t max_threads;
  int32_t chunk;        // tokens of a prompt that are computed together; 1: they never are
  uint64_t pool_bytes;  // for rows of gated models; kDefaultPool: a share of the capacity
  const Kernels* kernels;
  uint64_t (*clock)(void*);
  void* clock_context;
  Executor executor;
  void* executor_context;
  ProgressCallback progress;
  void* progress_context;
};

// From how many tokens on a prompt is computed by matrices. Fewer are steps, whose products read the weights once as
// well. Materialising keys and values of the whole context costs as much as some five tokens of grouped attention
// (bench/results/prefill.md); where every step does that, two of them are better off together.
constexpr int32_t least_prompt(AttentionForm form) { return form == AttentionForm::materialise ? 2 : 8; }

}  // namespace pith::internal

#endif
