#include "speculation.h"

#include <algorithm>
#include <chrono>

namespace pith {
namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void approach(double* mean, double x, double share) { *mean += share * (x - *mean); }

}  // namespace

// ---- Pay ----

size_t Pay::n_worth(size_t n_matching) {
  if (step_ == 0) return 0;
  double& chance = chance_[n_matching];
  const double further = further_ == 0 ? step_ / 2 : further_;
  double gain = 0, best_gain = 0, all_right = 1;
  size_t best = 0;
  for (size_t n = 1; n <= kMaxDrafted; ++n) {
    all_right *= chance;
    gain += step_ * all_right - further;
    if (gain > best_gain) {
      best_gain = gain;
      best = n;
    }
  }
  constexpr double kRecovery = 0.02;
  if (best == 0) approach(&chance, kFirstChance[n_matching], kRecovery);
  return best;
}

void Pay::add_time(size_t n, double seconds) {
  constexpr double kShare = 0.2;
  if (n == 1) {
    step_ = step_ == 0 ? seconds : step_ + kShare * (seconds - step_);
  } else if (step_ > 0) {
    const double further = std::max(seconds - step_, 0.0) / double(n - 1);
    further_ = further_ == 0 ? further : further_ + kShare * (further - further_);
  }
}

void Pay::add_outcome(size_t n_matching, size_t n_drafted, size_t n_accepted) {
  constexpr double kShare = 0.1;
  for (size_t i = 0; i < n_accepted; ++i) approach(&chance_[n_matching], 1, kShare);
  if (n_accepted < n_drafted) approach(&chance_[n_matching], 0, kShare);
}

// ---- Speculation ----

Speculation::Speculation(const Model& model, Session* session, uint64_t capacity, Drafts drafts)
    : session_(*session), drafts_(drafts), vocab_size_(model.info().vocab_size), capacity_(capacity) {
  // Its steps are taken one by one, and taking them back may leave other rows in the pool, of other bits.
  if (model.info().gate_kind == PITH_GATE_UP) drafts_ = Drafts::none;
  if (drafts_ != Drafts::none) rows_.resize(steps_.size() * vocab_size_);
}

void Speculation::read(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) text_.add(token);
}

void Speculation::forget() {
  take_back();
  text_.clear();
}

bool Speculation::eval(int32_t token) {
  if (next_ < n_ready_ && steps_[next_] == token) {
    text_.add(token);
    ++next_;
    ++n_accepted_;
    return true;
  }
  take_back();
  text_.add(token);
  steps_[0] = token;
  const bool is_done = eval_steps(1 + draft());
  if (!is_done) text_.drop_last();
  return is_done;
}

// Puts drafts behind steps_[0], as many as are worth it and fit.
size_t Speculation::draft() {
  const uint64_t room = capacity_ - std::min(capacity_, session_.position() + 1);
  if (drafts_ == Drafts::none || room == 0) return 0;
  const PromptLookup::Draft found = text_.draft(size_t(std::min(uint64_t(Pay::kMaxDrafted), room)));
  if (found.tokens.empty()) return 0;
  n_matching_ = found.n_matching;
  const size_t worth = drafts_ == Drafts::all ? Pay::kMaxDrafted : pay_.n_worth(n_matching_);
  const size_t n = std::min(worth, found.tokens.size());
  std::copy_n(found.tokens.begin(), n, steps_.begin() + 1);
  return n;
}

bool Speculation::eval_steps(size_t n) {
  const std::span<const int32_t> steps = std::span(steps_).first(n);
  const uint64_t position = session_.position();
  const double start = seconds();
  const Result<void> result =
      n == 1 ? session_.try_eval(steps) : session_.try_eval_each(steps, std::span(rows_).first(n * vocab_size_), {});
  if (!result && result.error().status() == PITH_E_CANCELLED) {
    if (session_.position() != position) session_.rewind(position);
    return false;
  }
  if (!result && n > 1) {  // of a token, perhaps, that the text will not have
    session_.rewind(position);
    return eval_steps(1);
  }
  result.value();
  pay_.add_time(n, seconds() - start);
  n_drafted_ += n - 1;
  n_ready_ = n == 1 ? 0 : n;
  next_ = n == 1 ? 0 : 1;
  return true;
}

void Speculation::take_back() {
  if (n_ready_ == 0) return;
  pay_.add_outcome(n_matching_, n_ready_ - 1, next_ - 1);
  if (next_ < n_ready_) (void)session_.try_rewind(position());  // which nothing was overwritten for: draft()
  n_ready_ = next_ = 0;
}

bool Speculation::settle() {
  if (next_ == n_ready_) {  // the logits are of the last token
    take_back();
    return true;
  }
  const int32_t last = steps_[next_ - 1];
  take_back();
  session_.rewind(session_.position() - 1);
  steps_[0] = last;
  return eval_steps(1);
}

}  // namespace pith
