// The C ABI of sessions: checks arguments once per call, then hands over.
#include "api/struct_sizes.h"
#include "dispatch.h"
#include "session/planner.h"
#include "session/session.h"
#include "session/session_state.h"

using namespace pith::internal;

namespace {

// The plan of a program's options; NULL: the defaults.
pith_status plan_of(const pith_model& model, const pith_session_options* options, Plan* plan, pith_error* error) {
  pith_session_options resolved{};
  if (options != nullptr) PITH_TRY(read_struct(options, &resolved, error));
  return make_plan(model.config, resolved, plan, error);
}

pith_status busy(pith_error* error) {
  return fail(error, PITH_E_BUSY, "session: another thread is inside it; use it from one thread at a time");
}

// Runs `body` in a session that no other thread is inside.
template <typename Body>
pith_status enter(pith_session* session, pith_error* error, const Body& body) {
  const SessionGuard guard(session);
  return guard.entered() ? body() : busy(error);
}

}  // namespace

extern "C" {

void pith_session_options_init(pith_session_options* options, uint32_t struct_size) {
  init_struct(options, struct_size);
}

pith_status pith_session_get_plan(const pith_model* model, const pith_session_options* options,
                                  pith_session_plan* out_plan, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_plan", out_plan}}, error));
  PITH_TRY(check_struct(out_plan, error));
  Plan plan;
  PITH_TRY(plan_of(*model, options, &plan, error));
  const RingBytes ring = ring_bytes(model->config, plan);
  write_struct({0, ring.elements_per_token, session_bytes(*model, plan), ring.cache, ring.per_token,
                pool_bytes(model->config, plan)},
               out_plan);
  return PITH_OK;
}

pith_status pith_session_bytes(const pith_model* model, const pith_session_options* options, size_t* out_bytes,
                               pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_bytes", out_bytes}}, error));
  Plan plan;
  PITH_TRY(plan_of(*model, options, &plan, error));
  *out_bytes = session_bytes(*model, plan);
  return PITH_OK;
}

pith_status pith_session_init(const pith_model* model, const pith_session_options* options, void* memory,
                              size_t memory_bytes, pith_session** out_session, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_session", out_session}}, error));
  Plan plan;
  PITH_TRY(plan_of(*model, options, &plan, error));
  PITH_TRY(check_memory("session", memory, memory_bytes, session_bytes(*model, plan), error));
  return session_init(*model, plan, memory, out_session, error);
}

pith_status pith_session_eval(pith_session* session, const int32_t* tokens, size_t n_tokens, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"session", session}}, error));
  if (n_tokens > 0) PITH_TRY(check_arguments({{"tokens", tokens}}, error));
  return enter(session, error, [&] { return session_eval(session, tokens, n_tokens, {}, error); });
}

pith_status pith_session_eval_each(pith_session* session, const int32_t* tokens, size_t n_tokens, float* logits,
                                   float* hidden, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"session", session}}, error));
  if (n_tokens > 0) PITH_TRY(check_arguments({{"tokens", tokens}}, error));
  return enter(session, error, [&] { return session_eval(session, tokens, n_tokens, {logits, hidden}, error); });
}

const float* pith_session_logits(const pith_session* session) {
  return session != nullptr && session->has_logits ? session->transformer.logits() : nullptr;
}

const float* pith_session_hidden(const pith_session* session) {
  return session != nullptr && session->has_hidden ? session->transformer.hidden() : nullptr;
}

uint64_t pith_session_position(const pith_session* session) { return session == nullptr ? 0 : session->position; }

pith_status pith_session_reset(pith_session* session, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"session", session}}, error));
  return enter(session, error, [&] {
    session_reset(session);
    return PITH_OK;
  });
}

void pith_session_cancel(pith_session* session) {
  if (session != nullptr) session->is_cancelled.store(true, std::memory_order_relaxed);
}

pith_status pith_session_rewind(pith_session* session, uint64_t position, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"session", session}}, error));
  return enter(session, error, [&] { return session_rewind(session, position, error); });
}

pith_status pith_session_copy(pith_session* to, pith_session* from, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"to", to}, {"from", from}}, error));
  if (to == from) return fail(error, PITH_E_ARGUMENT, "argument from: is the session `to` itself");
  return enter(to, error, [&] { return enter(from, error, [&] { return session_copy(to, *from, error); }); });
}

size_t pith_session_state_bytes(const pith_session* session) {
  return session == nullptr ? 0 : max_state_bytes(*session);
}

pith_status pith_session_save(pith_session* session, void* state, size_t capacity, size_t* out_bytes,
                              pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"session", session}, {"state", state}, {"out_bytes", out_bytes}}, error));
  return enter(session, error, [&] {
    PITH_TRY(check_not_poisoned(*session, error));
    *out_bytes = max_state_bytes(*session);
    PITH_TRY(check_capacity("a state of this session", capacity, *out_bytes, error));
    *out_bytes = save_state(*session, static_cast<uint8_t*>(state));
    return PITH_OK;
  });
}

pith_status pith_session_restore(pith_session* session, const void* state, size_t state_bytes, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"session", session}, {"state", state}}, error));
  return enter(session, error,
               [&] { return restore_state(session, static_cast<const uint8_t*>(state), state_bytes, error); });
}

pith_status pith_session_set_threads(pith_session* session, uint32_t n_threads, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"session", session}}, error));
  const uint32_t most = uint32_t(session->plan.max_threads);
  if (n_threads == 0 || n_threads > most)
    return fail(error, PITH_E_ARGUMENT, "argument n_threads: ", n_threads, " is not within 1 .. ", most,
                ", the session's option max_threads");
  return enter(session, error, [&] {
    session->team.set_threads(int32_t(n_threads));
    return PITH_OK;
  });
}

uint32_t pith_session_threads(const pith_session* session) {
  return session == nullptr ? 0 : uint32_t(session->team.n_at_hand());
}

const char* pith_session_tier(const pith_session* session) {
  return session == nullptr ? "" : session->plan.kernels->name;
}

const char* pith_tier_name(size_t index, int* out_usable) {
  if (index >= tier_count()) return nullptr;
  const Tier tier = tier_at(index);
  if (out_usable != nullptr) *out_usable = tier.usable ? 1 : 0;
  return tier.kernels->name;
}

uint64_t pith_session_attention_ns(const pith_session* session) {
  return session == nullptr ? 0 : session->transformer.attention_nanoseconds();
}

}  // extern "C"
