// The session behind the C handle: position, state, and the transformer's buffers, all in the caller's memory.
#ifndef PITH_SESSION_SESSION_H
#define PITH_SESSION_SESSION_H

#include <atomic>
#include <cstdint>

#include "model/model.h"
#include "ground/parallel.h"
#include "model/plan.h"
#include "forward/transformer.h"

struct pith_session {
  const pith_model* model;
  pith::internal::Plan plan;
  pith::internal::Team team;
  pith::internal::Transformer transformer;
  uint64_t position;
  bool has_logits;
  bool has_hidden;   // of the same token; a restored session has logits alone
  bool is_poisoned;  // a logit was not finite
  std::atomic<bool> is_busy;
  std::atomic<bool> is_cancelled;  // the evaluation that runs
};

namespace pith::internal {

// Bytes of a session, exactly.
size_t session_bytes(const pith_model& model, const Plan& plan);

// Builds a session in `memory` [session_bytes]. PITH_E_ARGUMENT: the executor runs nothing.
pith_status session_init(const pith_model& model, const Plan& plan, void* memory, pith_session** out,
                         pith_error* error);

// What of every token is wanted, beside the last one's logits.
struct EveryToken {
  float* logits = nullptr;  // [n_tokens, V] or NULL
  float* hidden = nullptr;  // [n_tokens, d] or NULL
};

// The bodies of pith_session_eval, pith_session_eval_each, pith_session_reset, pith_session_rewind and
// pith_session_copy, entered by one thread; no argument is NULL.
pith_status session_eval(pith_session* session, const int32_t* tokens, size_t n_tokens, const EveryToken& every,
                         pith_error* error);
void session_reset(pith_session* session);
pith_status session_rewind(pith_session* session, uint64_t position, pith_error* error);
pith_status session_copy(pith_session* to, const pith_session& from, pith_error* error);

// PITH_E_ARGUMENT where a region of the team did not run (Team::assemble).
pith_status check_executor(bool is_run, pith_error* error);

// PITH_E_STATE for a session whose logits were not finite.
pith_status check_not_poisoned(const pith_session& session, pith_error* error);

// Holds a session for the calling thread, or finds it held.
class SessionGuard {
 public:
  explicit SessionGuard(pith_session* session)
      : session_(session), entered_(!session->is_busy.exchange(true, std::memory_order_acquire)) {}
  ~SessionGuard() {
    if (entered_) session_->is_busy.store(false, std::memory_order_release);
  }
  SessionGuard(const SessionGuard&) = delete;
  SessionGuard& operator=(const SessionGuard&) = delete;
  bool entered() const { return entered_; }

 private:
  pith_session* session_;
  bool entered_;
};

}  // namespace pith::internal

#endif
