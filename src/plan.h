// The plan of a session: the caller's options, checked and resolved against a model.
#ifndef PITH_PLAN_H
#define PITH_PLAN_H

#include <cstdint>

#include "config.h"
#include "kernels.h"
#include "pith/pith.h"

namespace pith {

enum class AttentionForm : uint8_t { grouped, materialise, absorbed, mha };

constexpr int32_t kTileSlots = 64;  // slots of the ring that one attention tile covers

struct Plan {
  AttentionForm form;
  bool cache_i8;        // otherwise float32
  bool activations_i8;  // otherwise float32
  int32_t capacity;     // slots of the ring
  int32_t n_keep;       // of these, pinned
  int32_t max_threads;
  int32_t chunk;        // tokens of a prompt that are computed together; 1: they never are
  uint64_t pool_bytes;  // for finished rows of gated models; PITH_POOL_DEFAULT: a share of the capacity
  const Kernels* kernels;
  uint64_t (*clock)(void*);
  void* clock_context;
  pith_executor executor;
  void* executor_context;
  pith_progress progress;
  void* progress_context;
};

// From how many tokens on a prompt is computed by matrices. Keys and values that the cache holds need no recomputing;
// otherwise that of the whole context costs as much as some five tokens of grouped attention (bench/results/prefill.md).
constexpr int32_t least_prompt(AttentionForm form) {
  return form == AttentionForm::grouped || form == AttentionForm::absorbed ? 8 : 2;
}

// `options` NULL: the defaults.
pith_status make_plan(const Config& config, const pith_session_options* options, Plan* plan, pith_error* error);

}  // namespace pith

#endif
