#include "session_pool.h"

#include <algorithm>

namespace pith::server {
namespace {

// Tokens more than a seat has already: fewer are not worth what the copy moves.
constexpr size_t kWorthCopying = 16;

pith_session_options with_progress(pith_session_options options, Seat* seat, pith_progress progress) {
  options.progress = progress;
  options.progress_context = seat;
  return options;
}

size_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t most = std::min(a.size(), b.size());
  return size_t(std::mismatch(a.begin(), a.begin() + ptrdiff_t(most), b.begin()).first - a.begin());
}

}  // namespace

Seat::Seat(const Model& model, pith_session_options options, Drafts drafts)
    : session_(model, with_progress(options, this,
                                    [](void* self, uint64_t, uint64_t) {
                                      const auto* seat = static_cast<const Seat*>(self);
                                      if (seat->is_cancelled_ != nullptr && *seat->is_cancelled_)
                                        pith_session_cancel(seat->session_.get());
                                    })),
      text_(model, &session_, options.capacity, drafts) {}

bool Seat::eval(std::span<const int32_t> tokens) { return note(tokens, session_.try_eval(tokens)); }

bool Seat::eval_each(std::span<const int32_t> tokens, std::span<float> hidden) {
  return note(tokens, session_.try_eval_each(tokens, {}, hidden));
}

bool Seat::note(std::span<const int32_t> tokens, const Result<void>& result) {
  const size_t n_new = std::min(size_t(session_.position()) - held_.size(), tokens.size());
  held_.insert(held_.end(), tokens.begin(), tokens.begin() + ptrdiff_t(n_new));
  if (!result && result.error().status() != PITH_E_CANCELLED) result.value();  // throws
  return result.has_value();
}

bool Seat::eval_drawn(int32_t token) {
  const bool is_done = text_.eval(token);
  if (is_done) held_.push_back(token);
  return is_done;
}

void Seat::reset() {
  text_.forget();
  session_.reset();
  held_.clear();
}

void Seat::keep(size_t n_tokens) {
  if (n_tokens == 0 || !session_.try_rewind(n_tokens)) return reset();
  held_.resize(n_tokens);
}

SessionPool::SessionPool(const Model& model, const pith_session_options& options, uint32_t n_sessions, Drafts drafts) {
  for (uint32_t i = 0; i < n_sessions; ++i) seats_.push_back(std::make_unique<Seat>(model, options, drafts));
}

Seat* SessionPool::take(std::span<const int32_t> prompt, const std::atomic<bool>* is_cancelled, size_t* n_kept) {
  const std::span<const int32_t> wanted = prompt.first(prompt.empty() ? 0 : prompt.size() - 1);
  Seat *best = nullptr, *oldest = nullptr, *likest = nullptr;  // the last of all seats, the others of free ones
  size_t best_common = 0, likest_common = 0;
  for (const std::unique_ptr<Seat>& seat : seats_) {
    const size_t common = common_prefix(wanted, seat->held_);
    if (best == nullptr || common > best_common) best = seat.get(), best_common = common;
    if (seat->is_taken_) continue;
    if (oldest == nullptr || seat->taken_at_ < oldest->taken_at_) oldest = seat.get();
    const bool loses_less = likest != nullptr && common == likest_common && seat->held_.size() < likest->held_.size();
    if (likest == nullptr || common > likest_common || loses_less) likest = seat.get(), likest_common = common;
  }
  if (oldest == nullptr) return nullptr;
  // A seat that would lose more than it has in common stays as it is, while there is another.
  const bool goes_on = likest_common == best_common && 2 * likest_common >= likest->held_.size();
  Seat* seat = goes_on ? likest : oldest;
  *n_kept = common_prefix(wanted, seat->held_);
  if (seat != best && best_common >= *n_kept + kWorthCopying && seat->session_.try_copy_from(best->session_)) {
    seat->held_ = best->held_;
    *n_kept = best_common;
  }
  seat->keep(*n_kept);
  *n_kept = seat->held_.size();
  seat->is_taken_ = true;
  seat->taken_at_ = ++n_taken_;
  seat->is_cancelled_ = is_cancelled;
  seat->text_.forget();
  seat->text_.read(prompt);
  return seat;
}

void SessionPool::release(Seat* seat) {
  seat->text_.take_back();
  seat->is_taken_ = false;
  seat->is_cancelled_ = nullptr;
}

}  // namespace pith::server
