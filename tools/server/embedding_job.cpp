#include "embedding_job.h"

#include <algorithm>
#include <utility>

namespace pith::server {

EmbeddingJob::EmbeddingJob(EmbeddingRequest request, const ServedModel& served, uint32_t chunk)
    : request_(std::move(request)), served_(served), chunk_(chunk), width_(served.model.info().width), mean_(width_) {}

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
    mean_.add(hidden);
  }
  n_read_ += n;
  if (n_read_ == text.size()) end_text(seat->hidden());
  return vectors_.size() < request_.texts.size();
}

void EmbeddingJob::end_text(std::span<const float> last) {
  const bool is_mean = served_.pooling == Pooling::mean;
  std::vector<double> vector = is_mean ? mean_.take() : std::vector<double>(last.begin(), last.end());
  normalise(&vector);
  vectors_.emplace_back(vector.begin(), vector.end());
  n_tokens_ += std::exchange(n_read_, 0);
}

}  // namespace pith::server
