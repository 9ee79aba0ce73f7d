// The sessions of a server: all memory for evaluating, taken once. A seat remembers which tokens its session holds, so
// that a prompt that begins as one of them does is not read again.
#ifndef PITH_SERVER_SESSION_POOL_H
#define PITH_SERVER_SESSION_POOL_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pith/pith.hpp"
#include "speculation.h"

namespace pith::server {

class Seat {
 public:
  Seat(const Model& model, pith_session_options options, Drafts drafts);
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;

  // False: the flag that the seat was taken with was raised before the last token was in.
  bool eval(std::span<const int32_t> tokens);
  // The same with the hidden states of all tokens, [tokens, width].
  bool eval_each(std::span<const int32_t> tokens, std::span<float> hidden);
  // A token that was drawn, perhaps with some that may follow.
  bool eval_drawn(int32_t token);
  void reset();

  std::span<const float> logits() const { return text_.logits(); }
  std::span<const float> hidden() const { return session_.hidden(); }
  size_t n_held() const { return held_.size(); }

 private:
  friend class SessionPool;
  bool note(std::span<const int32_t> tokens, const Result<void>& result);
  void keep(size_t n_tokens);  // the first ones, or none where the session can't go back there

  const std::atomic<bool>* is_cancelled_ = nullptr;
  Session session_;
  Speculation text_;
  std::vector<int32_t> held_;  // tokens of the session, by position; it may hold drafts behind them
  uint64_t taken_at_ = 0;      // in calls of SessionPool::take
  bool is_taken_ = false;
};

// Used by one thread.
class SessionPool {
 public:
  SessionPool(const Model& model, const pith_session_options& options, uint32_t n_sessions, Drafts drafts);

  // A free seat that holds the first *n_kept tokens of the prompt, as many as any seat does, and fewer than all: the
  // last one is evaluated for what it says. Where that would cost another conversation most of what it has, the seat
  // that was free longest gets a copy. `is_cancelled` ends evaluations in it, also within a chunk of a prompt. NULL: no
  // seat is free.
  Seat* take(std::span<const int32_t> prompt, const std::atomic<bool>* is_cancelled, size_t* n_kept);
  void release(Seat* seat);

 private:
  std::vector<std::unique_ptr<Seat>> seats_;
  uint64_t n_taken_ = 0;
};

}  // namespace pith::server

#endif
