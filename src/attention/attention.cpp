#include "attention/attention.h"

#include <cstring>

namespace pith::internal {

// Adds its lifetime to the session's attention, where the session has a clock.
class Attention::Stopwatch {
 public:
  explicit Stopwatch(Attention* attention) : attention_(*attention), start_(now()) {}
  ~Stopwatch() { attention_.nanoseconds_ += now() - start_; }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  uint64_t now() const {
    const Plan& plan = attention_.plan_;
    return plan.clock != nullptr ? plan.clock(plan.clock_context) : 0;
  }

  Attention& attention_;
  uint64_t start_;
};

void Attention::lay_out(const Setup& setup, Arena* arena) {
  refer_to(setup);
  cache_.lay_out(setup, arena);
  angles_.lay_out(setup, arena);
  step_.window.lay_out(setup, arena);
  step_.pinned.lay_out(setup, arena);
  step_.tiles.lay_out(setup, arena);
  step_heads_ = arena->take<float>(size_t(max_steps(*config_, plan_)) * size_t(config_->head_output_width()));
  switch (plan_.form) {
    case AttentionForm::grouped: grouped_.lay_out(setup, cache_, arena); break;
    case AttentionForm::materialise: materialised_.lay_out(setup, cache_, arena); break;
    case AttentionForm::absorbed: absorbed_.lay_out(setup, cache_.ring(), arena); break;
    case AttentionForm::mha: head_.lay_out(setup, cache_.ring(), arena); break;
  }
  if (plan_.chunk > 1) prefill_.lay_out(setup, cache_, angles_, arena);
  projection_.lay_out(setup, arena);
}

void Attention::begin(const Chunk& chunk) {
  chunk_ = chunk;
  cache_.begin(chunk);
  angles_.set(chunk);
  if (chunk.is_prompt) return prefill_.begin(chunk);
  if (plan_.form == AttentionForm::grouped) grouped_.begin();
}

void Attention::project(int32_t layer, const Batch& batch, Activation x) {
  projection_.run(layer, batch, x, &cache_);
  if (!chunk_.is_prompt) return;
  const int32_t thread = batch.worker.thread;
  for (int32_t i = 0; i < batch.n; ++i) {
    const int32_t token = batch.first + i;
    const Angles angles = angles_.of(token);
    float scale = CachedToken::kIsNormed;
    if (config_->is_mha())
      cache_.store_heads(layer, token, projection_.keys(thread, i), projection_.values(thread, i), angles);
    else scale = cache_.store(layer, token, projection_.latent(thread, i), angles, thread);
    prefill_.set_token(layer, token, projection_.query(thread, i), scale, thread);
  }
}

void Attention::attend(int32_t layer) {
  const Stopwatch watch(this);
  if (chunk_.is_prompt) return prefill_.attend(layer);
  for (int32_t token = 0; token < chunk_.n; ++token) attend_step(layer, token);
}

void Attention::set_step(int32_t layer, int32_t token) {
  const Angles angles = angles_.of(token);
  const float* query = projection_.query(0, token);
  step_.window.set(query, angles, Region::window);
  if (plan_.n_keep > 0) step_.pinned.set(query, angles, Region::pinned);
  step_.tiles.set(cache_.ring(), chunk_.position + uint64_t(token) + 1);
  trace_.tensor("q", layer, token, step_.window.x, config_->query_width());
}

// The token enters the cache first: it sees itself, and what its id changes in the pool is read at once.
void Attention::attend_step(int32_t layer, int32_t token) {
  const Angles angles = angles_.of(token);
  float* out = step_heads_ + token * config_->head_output_width();
  set_step(layer, token);
  if (config_->is_mha())
    cache_.store_heads(layer, token, projection_.keys(0, token), projection_.values(0, token), angles);
  else cache_.store(layer, token, projection_.latent(0, token), angles, 0);
  switch (plan_.form) {
    case AttentionForm::grouped: return grouped_.attend(layer, step_, out);
    case AttentionForm::materialise: return materialised_.attend(layer, step_, out);
    case AttentionForm::absorbed: return absorbed_.attend(layer, step_, out);
    case AttentionForm::mha: return head_.attend(layer, step_, out);
  }
}

void Attention::load(int32_t layer, const Batch& batch, const Columns& heads) const {
  const int32_t width = config_->head_output_width();
  for (int32_t i = 0; i < batch.n; ++i) {
    const int32_t token = batch.first + i;
    if (chunk_.is_prompt) prefill_.load(token, heads.column(i));
    else std::memcpy(heads.column(i), step_heads_ + token * width, sizeof(float) * size_t(width));
  }
  heads.pad(batch.n, width);
  trace_.tensors("heads", layer, batch.first, batch.n, heads.x, size_t(heads.cols), width);
}

}  // namespace pith::internal
