#include "completion_job.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pith::server {
namespace {

constexpr size_t kMostPieces = 64;  // that wait for a client; then its answer does
constexpr size_t kTogether = 8;     // tokens from which on a prompt's are computed together (pith_session_eval)

// The next tokens of a prompt. Where `left` are enough for it, none remain to be computed one by one.
size_t slice_of(size_t left, size_t chunk) {
  if (left <= chunk) return left;
  const size_t rest = left - chunk;
  return rest < kTogether && chunk >= 2 * kTogether ? chunk - (kTogether - rest) : chunk;
}

}  // namespace

CompletionJob::CompletionJob(CompletionRequest request, const ServedModel& served, uint32_t chunk)
    : request_(std::move(request)),
      served_(served),
      chunk_(chunk),
      sampler_(served.model.info().vocab_size, request_.sampling.resolve()),
      stream_(request_.sampling.stops) {
  for (const int32_t token : request_.prompt) sampler_.accept(token);
  usage_.n_prompt = request_.prompt.size();
}

void CompletionJob::begin(size_t n_kept) {
  n_read_ = n_kept;
  const std::lock_guard lock(mutex_);
  usage_.n_cached = n_kept;
}

bool CompletionJob::step(Seat* seat) {
  if (request_.grammar && !matcher_) matcher_.emplace(*request_.grammar, served_.trie);
  if (n_read_ == request_.prompt.size()) return seat->eval_drawn(next_) && draw_next(seat);
  const size_t n = slice_of(request_.prompt.size() - n_read_, chunk_);
  if (!seat->eval(std::span(request_.prompt).subspan(n_read_, n))) return false;
  n_read_ += n;
  return n_read_ < request_.prompt.size() || draw_next(seat);
}

// False: the answer ends here.
bool CompletionJob::draw_next(Seat* seat) {
  next_ = draw(&sampler_, seat->logits(), matcher_ ? &*matcher_ : nullptr, &masked_);
  Taken taken = pith::take(next_, served_.tokenizer, request_.is_chat ? served_.chat : nullptr, &stream_);
  const bool has_text = !taken.is_last || stream_.stopped();
  size_t n_drawn = 0;
  if (has_text) {
    const std::lock_guard lock(mutex_);
    n_drawn = ++usage_.n_drawn;
  }
  if (request_.has_scores && has_text) {
    Logprobs scores = logprobs(seat->logits(), next_, request_.n_likeliest);
    scored_.push_back({next_, scores.logprob, std::move(scores.top)});
  }
  const bool is_done = taken.is_last || (matcher_ && matcher_->is_done());
  is_cut_ = !is_done && (n_drawn >= request_.max_tokens || seat->n_held() >= served_.context);
  const bool is_over = is_done || is_cut_;
  if (is_over && !stream_.stopped()) taken.text += stream_.finish();
  // What is held back for good is part of a stop string, and so are its tokens.
  if (!taken.text.empty() || (is_over && !stream_.stopped() && !scored_.empty())) hand_out(std::move(taken.text));
  return !is_over;
}

void CompletionJob::hand_out(std::string text) {
  const std::lock_guard lock(mutex_);
  pieces_.push_back({std::move(text), std::exchange(scored_, {})});
  tell();
}

bool CompletionJob::is_held_up() {
  const std::lock_guard lock(mutex_);
  return request_.streams && pieces_.size() >= kMostPieces;
}

bool CompletionJob::take(Piece* piece) {
  std::deque<Piece> pieces;
  {
    const std::lock_guard lock(mutex_);
    pieces.swap(pieces_);
  }
  for (Piece& next : pieces) {
    piece->text += next.text;
    piece->tokens.insert(piece->tokens.end(), std::make_move_iterator(next.tokens.begin()),
                         std::make_move_iterator(next.tokens.end()));
  }
  return !pieces.empty();
}

Usage CompletionJob::usage() {
  const std::lock_guard lock(mutex_);
  return usage_;
}

}  // namespace pith::server
