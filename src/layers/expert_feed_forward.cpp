#include "layers/expert_feed_forward.h"

#include <cstring>

#include "layers/pointwise.h"

namespace pith::internal {
namespace {

constexpr int32_t kMaxGathered = 128;  // tokens: what is unpacked of weights serves all of them
constexpr int32_t kSliceRows = 32;     // of a task: a block of what is rounded afterwards
constexpr int32_t kGatherTask = 8;     // tokens

bool is_gated(const Config& c) { return c.feed_forward == FeedForward::swiglu; }

PanelSlice slice_of(const Linear& w, int32_t first_row) {
  const int32_t last = std::min(first_row + kSliceRows, int32_t(padded_rows(w.rows)));
  return {w, first_row / kPanelRows, last / kPanelRows};
}

}  // namespace

void ExpertFeedForward::lay_out(const Setup& setup, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  if (c.n_experts == 0) return;
  const size_t chunk = size_t(setup.plan.chunk), used = size_t(c.n_used_experts), width = size_t(padded_rows(c.width));
  const size_t batch = size_t(max_batch(setup.plan));
  scores_ = take_scratch<float*>(
      arena, [&](float** scores) { *scores = arena->take<float>(batch * size_t(padded_rows(c.n_experts))); });
  experts_ = arena->take<int32_t>(chunk * used);
  expert_weights_ = arena->take<float>(chunk * used);
  sums_ = arena->take<float>(chunk * width);
  const int32_t gathered = std::min(kMaxGathered, setup.plan.chunk);
  hidden_.lay_out(std::max(gathered, c.n_used_experts), c.expert_width, arena);
  step_gate_ = arena->take<float>(is_gated(c) ? used * size_t(padded_rows(c.expert_width)) : 0);
  step_output_ = arena->take<float>(used * width);
  if (setup.plan.chunk == 1) return;
  inputs_ = arena->take<float>(chunk * size_t(padded_cols(c.width)));
  first_ = arena->take<int32_t>(size_t(c.n_experts) + 1);
  places_ = arena->take<int32_t>(chunk * used);
  gathered_.lay_out(gathered, c.width, arena);
  slices_ = take_scratch<Slice>(arena, [&](Slice* s) {
    s->gate = arena->take<float>(is_gated(c) ? size_t(gathered) * kSliceRows : 0);
    s->y = arena->take<float>(size_t(gathered) * kSliceRows);
  });
}

void ExpertFeedForward::route(int32_t layer, const Batch& batch, const Columns& x) {
  const Layer& w = weights_->layers[layer];
  float* scores = scores_[batch.worker.thread];
  const size_t stride = size_t(padded_rows(config_->n_experts));
  const Product product{&w.router, x.activation(Precision::f32), scores, stride};
  apply(*kernels_, batch.worker, {&product, 1}, batch.n);
  for (int32_t i = 0; i < batch.n; ++i, scores += stride) {
    choose_experts(*kernels_, *config_, w.router_bias, scores, choice(batch.first + i));
    trace_choice(layer, batch.first + i, scores);
  }
  if (inputs_ == nullptr) return;
  const size_t n = size_t(batch.n) * size_t(x.cols);
  std::memcpy(inputs_ + size_t(batch.first) * size_t(x.cols), x.x, n * sizeof(float));
}

void ExpertFeedForward::compute(int32_t layer, int32_t n_tokens, Activation only) {
  const Layer& w = weights_->layers[layer];
  if (n_tokens == 1) return compute_step(w, only);
  sort_by_expert(n_tokens);
  for (int32_t expert = 0; expert < config_->n_experts; ++expert) {
    for (int32_t first = first_[expert]; first < first_[expert + 1]; first += kMaxGathered) {
      const Gathered tokens{places_ + first, std::min(first_[expert + 1] - first, kMaxGathered)};
      compute_gathered(w, expert, tokens);
    }
  }
}

// ---- A step: the rows of all chosen experts together ----

void ExpertFeedForward::compute_step(const Layer& w, Activation x) {
  const Config& c = *config_;
  const ExpertChoice chosen = choice(0);
  const Worker worker{team_, 0};
  const int32_t used = c.n_used_experts;
  const size_t gate = size_t(padded_rows(c.expert_width)), width = size_t(padded_rows(c.width));
  Linear matrices[2 * kMaxUsedExperts];
  Product products[2 * kMaxUsedExperts];
  size_t n = 0;
  const auto add = [&](const LinearStack& stack, int32_t i, Activation a, float* y) {
    matrices[n] = stack.at(chosen.experts[i]);
    products[n] = {&matrices[n], a, y};
    ++n;
  };
  for (int32_t i = 0; i < used; ++i) {
    add(w.expert_up, i, x, hidden_.column(i));
    if (is_gated(c)) add(w.expert_gate, i, x, step_gate_ + gate * size_t(i));
  }
  apply(*kernels_, worker, {products, n}, 1);
  for (int32_t i = 0; i < used; ++i)
    activate(*kernels_, c, step_gate_ + gate * size_t(i), c.expert_width, hidden_.column(i));
  hidden_.pad(used, c.expert_width);
  hidden_.prepare(*kernels_, used, plan_.activations, w.expert_down.first.type);
  n = 0;
  for (int32_t i = 0; i < used; ++i)
    add(w.expert_down, i, hidden_.from(i).activation(plan_.activations), step_output_ + width * size_t(i));
  apply(*kernels_, worker, {products, n}, 1);
  for (int32_t i = 0; i < used; ++i)
    kernels_->axpy(chosen.weights[i], step_output_ + width * size_t(i), c.width, sum(0));
}

// ---- A chunk: expert by expert ----

// places_: the numbers of all choices, by expert, and of one expert by token.
void ExpertFeedForward::sort_by_expert(int32_t n_tokens) {
  const int32_t n = n_tokens * config_->n_used_experts;
  for (int32_t e = 0; e <= config_->n_experts; ++e) first_[e] = 0;
  for (int32_t i = 0; i < n; ++i) ++first_[experts_[i] + 1];
  for (int32_t e = 0; e < config_->n_experts; ++e) first_[e + 1] += first_[e];
  for (int32_t i = 0; i < n; ++i) places_[first_[experts_[i]]++] = i;
  for (int32_t e = config_->n_experts; e > 0; --e) first_[e] = first_[e - 1];
  first_[0] = 0;
}

void ExpertFeedForward::compute_gathered(const Layer& w, int32_t expert, const Gathered& tokens) {
  gather(tokens, readers_of({&w.expert_up.first, &w.expert_gate.first}));
  run_hidden(w, expert, tokens.n);
  run_output(w, expert, tokens);
}

void ExpertFeedForward::gather(const Gathered& tokens, WeightType readers) {
  const size_t cols = size_t(gathered_.cols);
  team_->run(quotient_up(tokens.n, kGatherTask), [&](int32_t task, int32_t) {
    const int32_t first = task * kGatherTask, n = std::min(kGatherTask, tokens.n - first);
    for (int32_t i = first; i < first + n; ++i) {
      const int32_t token = tokens.places[i] / config_->n_used_experts;
      std::memcpy(gathered_.column(i), inputs_ + cols * size_t(token), cols * sizeof(float));
    }
    gathered_.from(first).prepare(*kernels_, n, plan_.activations, readers);
  });
}

// What goes into W_down, a slice of channels at a time: products, activation, rounding.
void ExpertFeedForward::run_hidden(const Layer& w, int32_t expert, int32_t n) {
  const Config& c = *config_;
  const Linear up = w.expert_up.at(expert), gate = is_gated(c) ? w.expert_gate.at(expert) : Linear();
  const Activation x = gathered_.activation(plan_.activations);
  team_->run(quotient_up(c.expert_width, kSliceRows), [&](int32_t task, int32_t thread) {
    const int32_t row = task * kSliceRows, n_rows = std::min(kSliceRows, c.expert_width - row);
    float* gates = slices_[thread].gate;
    apply_columns(*kernels_, slice_of(up, row), x, n, hidden_.x + row, size_t(hidden_.cols));
    if (is_gated(c)) apply_columns(*kernels_, slice_of(gate, row), x, n, gates, kSliceRows);
    for (int32_t i = 0; i < n; ++i) {
      float* channels = hidden_.column(i) + row;
      activate(*kernels_, c, gates + i * kSliceRows, n_rows, channels);
      for (int32_t j = n_rows; j < kSliceRows; ++j) channels[j] = 0;
      if (plan_.activations == Precision::i8)
        hidden_.round(*kernels_, i * hidden_.cols + row, kSliceRows, w.expert_down.first.type);
    }
  });
}

void ExpertFeedForward::run_output(const Layer& w, int32_t expert, const Gathered& tokens) {
  const Linear down = w.expert_down.at(expert);
  const Activation x = hidden_.activation(plan_.activations);
  team_->run(quotient_up(config_->width, kSliceRows), [&](int32_t task, int32_t thread) {
    const int32_t row = task * kSliceRows, n_rows = std::min(kSliceRows, config_->width - row);
    const float* y = slices_[thread].y;
    apply_columns(*kernels_, slice_of(down, row), x, tokens.n, slices_[thread].y, kSliceRows);
    for (int32_t i = 0; i < tokens.n; ++i) {
      const int32_t place = tokens.places[i];
      kernels_->axpy(expert_weights_[place], y + i * kSliceRows, n_rows, sum(place / config_->n_used_experts) + row);
    }
  });
}

// Weights of all experts, 0 of those that are not chosen.
inline void ExpertFeedForward::trace_choice(int32_t layer, int32_t token, const float* scores) const {
  if (!trace_.is_on()) return;
  const ExpertChoice chosen = choice(token);
  float weights[kMaxExperts] = {};
  for (int32_t i = 0; i < config_->n_used_experts; ++i) weights[chosen.experts[i]] = chosen.weights[i];
  trace_.tensor("router", layer, token, scores, config_->n_experts);
  trace_.tensor("experts", layer, token, weights, config_->n_experts);
}

}  // namespace pith::internal
