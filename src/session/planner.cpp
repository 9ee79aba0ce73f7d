#include "session/planner.h"

#include "dispatch.h"
#include "ground/status.h"

namespace pith::internal {
namespace {

constexpr uint32_t kMaxCapacity = 1u << 24;
constexpr uint32_t kMaxThreads = 64;
constexpr uint32_t kMaxChunk = 2048;
// Beyond, a prompt's keys and values of the chunks before are materialised no less, and memory grows
// (bench/results/prefill.md).
constexpr uint32_t kDefaultChunk = 512;

Precision precision_of(uint32_t choice) { return choice == PITH_PRECISION_I8 ? Precision::i8 : Precision::f32; }

pith_status check_ranges(const pith_session_options& o, pith_error* error) {
  if (o.capacity > kMaxCapacity)
    return fail(error, PITH_E_ARGUMENT, "option capacity: ", o.capacity, "; at most ", kMaxCapacity);
  if (o.max_threads > kMaxThreads)
    return fail(error, PITH_E_ARGUMENT, "option max_threads: ", o.max_threads, "; at most 64");
  if (o.chunk > kMaxChunk) return fail(error, PITH_E_ARGUMENT, "option chunk: ", o.chunk, "; at most ", kMaxChunk);
  if (o.cache > PITH_PRECISION_F32)
    return fail(error, PITH_E_ARGUMENT, "option cache: ", o.cache, " is no pith_precision");
  if (o.activations > PITH_PRECISION_F32)
    return fail(error, PITH_E_ARGUMENT, "option activations: ", o.activations, " is no pith_precision");
  if (o.attention > PITH_ATTENTION_MATERIALISE)
    return fail(error, PITH_E_ARGUMENT, "option attention: ", o.attention, " is no pith_attention");
  return PITH_OK;
}

uint64_t pool_bytes_of(const pith_session_options& o) {
  return o.pool_bytes == 0 ? kDefaultPool : o.pool_bytes == PITH_POOL_NONE ? 0 : o.pool_bytes;
}

AttentionForm form_of(const Config& config, uint32_t attention) {
  if (config.is_mha()) return AttentionForm::mha;
  if (attention == PITH_ATTENTION_MATERIALISE) return AttentionForm::materialise;
  return config.gate == Gate::up ? AttentionForm::grouped : AttentionForm::absorbed;
}

}  // namespace

pith_status make_plan(const Config& config, const pith_session_options& o, Plan* plan, pith_error* error) {
  PITH_TRY(check_ranges(o, error));
  const uint32_t context =
      uint32_t(config.context_length) < kMaxCapacity ? uint32_t(config.context_length) : kMaxCapacity;
  const uint32_t capacity = o.capacity == 0 ? context : o.capacity;
  if (o.n_keep >= capacity)
    return fail(error, PITH_E_ARGUMENT, "option n_keep: ", o.n_keep, " must be below the capacity of ", capacity);
  const AttentionForm form = form_of(config, o.attention);
  const uint32_t window = capacity - o.n_keep, wanted = o.chunk == 0 ? kDefaultChunk : o.chunk;
  const uint32_t chunk = wanted < window ? wanted : window;
  const bool is_worth_it = chunk >= uint32_t(least_prompt(form));
  const Kernels* kernels = choose_tier(o.tier);
  if (kernels == nullptr)
    return fail(error, PITH_E_ARGUMENT, "option tier: \"", o.tier,
                "\" is not a tier of this build, or this CPU lacks it; pith_tier_name lists them");
  *plan = {form,
           precision_of(o.cache),
           precision_of(o.activations),
           int32_t(capacity),
           int32_t(o.n_keep),
           int32_t(o.max_threads == 0 ? 1 : o.max_threads),
           is_worth_it ? int32_t(chunk) : 1,
           pool_bytes_of(o),
           kernels,
           o.clock,
           o.clock_context,
           o.executor,
           o.executor_context,
           o.progress,
           o.progress_context};
  return PITH_OK;
}

}  // namespace pith::internal
