#include "embedding_job.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace pith::server {

EmbeddingJob::EmbeddingJob(EmbeddingRequest request, const ServedModel& served, uint32_t chunk)
    : request_(std::move(request)), served_(served), chunk_(chunk), width_(served.model.info().width), sum_(width_) {}

bool EmbeddingJob::step(Seat* seat) {
  const std::vector<int32_t>& text = request_.texts[vectors_.size()];
  if (n_read_ == 0) seat->reset();
  const size_t n = std::min<size_t>(chunk_, text.size() - n_read_);
  const std::span<const int32_t> tokens = std::span(text).subspan(n_read_, n);
  if (served_.pooling == Pooling::last) {
    if (!seat->eval(tokens)) return false;
  } else {
    std::vector<float> hidden(n * width_);
    if (!seat->eval_each(tokens, hidden)) return false;
    for (size_t i = 0; i < hidden.size(); ++i) sum_[i % width_] += double(hidden[i]);
  }
  n_read_ += n;
  if (n_read_ == text.size()) end_text(seat->hidden());
  return vectors_.size() < request_.texts.size();
}

void EmbeddingJob::end_text(std::span<const float> last) {
  if (served_.pooling == Pooling::last) sum_.assign(last.begin(), last.end());
  double square = 0;
  for (const double x : sum_) square += x * x;
  const double scale = square > 0 ? 1 / std::sqrt(square) : 0;
  std::vector<float> out;
  out.reserve(width_);
  for (const double x : sum_) out.push_back(float(x * scale));
  vectors_.push_back(std::move(out));
  sum_.assign(width_, 0);
  n_tokens_ += std::exchange(n_read_, 0);
}

}  // namespace pith::server
