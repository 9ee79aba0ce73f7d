#include "forward/transformer.h"

#include <cstring>

#include "layers/pointwise.h"

namespace pith::internal {

// ---- A layer ----

void Transformer::run_layer(int32_t layer) {
  run_attention(layer);
  if (config_->has_experts(layer)) run_experts(layer);
  else run_feed_forward(layer);
}

void Transformer::run_attention(int32_t layer) {
  const Layer& w = weights_->layers[layer];
  for_batches([&](const Batch& batch) {
    normalize_batch(batch, w.attn_norm, w.attn_norm_bias);
    const Activation x = prepare_normed(batch, projection_readers(*config_, w));
    trace_columns("attn_in", layer, batch, scratch(batch).normed);
    attention_.project(layer, batch, x);
  });
  attention_.attend(layer);
}

// What attention found, through W_O.
void Transformer::add_attention(int32_t layer, const Batch& batch) {
  const Linear& w = weights_->layers[layer].output;
  const Scratch& s = scratch(batch);
  attention_.load(layer, batch, s.heads);
  const Activation heads = s.heads.prepare(*kernels_, batch.n, plan_.activations, w.type);
  const Product product{&w, heads, s.delta, size_t(padded_rows(w.rows))};
  apply(*kernels_, batch.worker, {&product, 1}, batch.n);
  add_to_residual(batch, s.delta);
  trace_delta("attn_out", layer, batch, s.delta);
}

void Transformer::run_feed_forward(int32_t layer) {
  const Layer& w = weights_->layers[layer];
  for_batches([&](const Batch& batch) {
    const Scratch& s = scratch(batch);
    add_attention(layer, batch);
    normalize_batch(batch, w.ffn_norm, w.ffn_norm_bias);
    const Activation x = prepare_normed(batch, readers_of({&w.ffn_up, &w.ffn_gate}));
    trace_columns("ffn_in", layer, batch, s.normed);
    dense_.compute(w, x, batch, s.delta);
    add_to_residual(batch, s.delta);
    trace_delta("ffn_out", layer, batch, s.delta);
  });
}

// The router sees the normed stream before it is rounded. Experts wait until all tokens have chosen.
void Transformer::run_experts(int32_t layer) {
  const Layer& w = weights_->layers[layer];
  Activation x{};
  for_batches([&](const Batch& batch) {
    const Scratch& s = scratch(batch);
    float* sum = experts_.sum(batch.first);
    add_attention(layer, batch);
    normalize_batch(batch, w.ffn_norm, w.ffn_norm_bias);
    experts_.route(layer, batch, s.normed);
    const Activation normed =
        prepare_normed(batch, readers_of({&w.ffn_up, &w.ffn_gate, &w.expert_up.first, &w.expert_gate.first}));
    trace_columns("ffn_in", layer, batch, s.normed);
    if (w.ffn_up.w != nullptr) dense_.compute(w, normed, batch, sum);
    else std::memset(sum, 0, sizeof(float) * size_t(padded_rows(config_->width)) * size_t(batch.n));
    if (chunk_.n == 1) x = normed;
  });
  experts_.compute(layer, chunk_.n, x);
  for_batches([&](const Batch& batch) {
    add_to_residual(batch, experts_.sum(batch.first));
    trace_delta("ffn_out", layer, batch, experts_.sum(batch.first));
  });
}

// The residual stream of a batch, normed.
void Transformer::normalize_batch(const Batch& batch, const float* gamma, const float* beta) {
  const Columns& x = scratch(batch).normed;
  for (int32_t i = 0; i < batch.n; ++i)
    normalize(*kernels_, *config_, residual(batch.first + i), gamma, beta, x.column(i));
  x.pad(batch.n, config_->width);
}

Activation Transformer::prepare_normed(const Batch& batch, WeightType readers) const {
  return scratch(batch).normed.prepare(*kernels_, batch.n, plan_.activations,
                                       trace_.is_on() ? WeightType::f32 : readers);
}

// delta: [batch.n, d padded].
void Transformer::add_to_residual(const Batch& batch, const float* delta) {
  const size_t stride = size_t(padded_rows(config_->width));
  for (int32_t i = 0; i < batch.n; ++i)
    kernels_->axpy(config_->residual_scale, delta + stride * size_t(i), config_->width, residual(batch.first + i));
}

// ---- Before and after the layers ----

void Transformer::begin(const Chunk& chunk) {
  chunk_ = chunk;
  attention_.begin(chunk);
  for_batches([&](const Batch& batch) {
    for (int32_t token = batch.first; token < batch.first + batch.n; ++token) {
      float* x = residual(token);
      load_row(*kernels_, weights_->embedding, chunk_.ids[token], x);
      kernels_->shift_scale(x, 0, config_->embedding_scale, config_->width, x);
      trace_.tensor("embedding", -1, token, x, config_->width);
    }
  });
}

bool Transformer::take_back(int32_t n_layers) {
  attention_.roll_back(n_layers);
  return false;
}

void Transformer::finish(const Outputs& outputs) {
  if (outputs.every_logits != nullptr || outputs.every_hidden != nullptr) compute_every(outputs);
  if (outputs.has_last) compute_last(outputs);
}

// The last token's hidden state and logits: a product of one column, whatever the chunk, unless they are there already.
void Transformer::compute_last(const Outputs& outputs) {
  const Batch last{chunk_.n - 1, 1, {team_, 0}};
  const Activation x = output_in(last, hidden_);
  if (outputs.every_logits != nullptr) {
    const size_t vocab_size = size_t(config_->vocab_size);
    std::memcpy(logits_, outputs.every_logits + size_t(last.first) * vocab_size, sizeof(float) * vocab_size);
    return;
  }
  const Product product{&weights_->output, x, logits_};
  apply(*kernels_, last.worker, {&product, 1}, 1);
  kernels_->shift_scale(logits_, 0, config_->logit_scale, config_->vocab_size, logits_);
}

// Those of every token, a batch at a time: the threads share the vocabulary.
void Transformer::compute_every(const Outputs& outputs) {
  const Linear& w = weights_->output;
  const int32_t step = int32_t(padded_rows(config_->width));  // rows of a task: what `delta` has room for
  for (int32_t first = 0; first < chunk_.n; first += max_batch(plan_)) {
    const Batch batch{first, std::min(max_batch(plan_), chunk_.n - first), {nullptr, 0}};
    const size_t at = size_t(first);
    float* hidden = outputs.every_hidden == nullptr ? nullptr : outputs.every_hidden + at * size_t(config_->width);
    const Activation x = output_in(batch, hidden);
    if (outputs.every_logits == nullptr) continue;
    team_->run(quotient_up(w.rows, step), [&](int32_t task, int32_t thread) {
      const int32_t row = task * step, n_rows = std::min(step, w.rows - row);
      float* y = scratch_[thread].delta;
      apply_columns(*kernels_, {w, row / kPanelRows, quotient_up(row + n_rows, kPanelRows)}, x, batch.n, y,
                    size_t(step));
      for (int32_t i = 0; i < batch.n; ++i, y += step) {
        if (w.bias != nullptr) kernels_->add(y, w.bias + row, n_rows, y);
        float* logits = outputs.every_logits + (at + size_t(i)) * size_t(w.rows) + size_t(row);
        kernels_->shift_scale(y, 0, config_->logit_scale, n_rows, logits);
      }
    });
  }
}

// A batch's input of the output matrix; as floats into hidden [batch.n, d] too, unless it is NULL.
Activation Transformer::output_in(const Batch& batch, float* hidden) {
  const Columns& x = scratch(batch).normed;
  const size_t width = size_t(config_->width);
  normalize_batch(batch, weights_->output_norm, weights_->output_norm_bias);
  for (int32_t i = 0; i < batch.n && hidden != nullptr; ++i)
    std::memcpy(hidden + width * size_t(i), x.column(i), sizeof(float) * width);
  const Activation a = prepare_normed(batch, weights_->output.type);
  trace_columns("output_in", -1, batch, x);
  return a;
}

// ---- Who computes ----

// f(batch) for the whole chunk: steps at the caller's thread, whose products the team shares; otherwise as many batches
// for every thread. A token's numbers do not depend on its neighbours.
template <typename F>
void Transformer::for_batches(const F& f) {
  if (!chunk_.is_prompt) return f(Batch{0, chunk_.n, {team_, 0}});
  const int32_t n = chunk_.n, n_threads = team_->n_running();
  const int32_t n_batches = quotient_up(quotient_up(n, max_batch(plan_)), n_threads) * n_threads;
  const int32_t step = whole_panels(quotient_up(n, n_batches));
  team_->run(quotient_up(n, step), [&](int32_t task, int32_t thread) {
    f(Batch{task * step, std::min(step, n - task * step), {nullptr, thread}});
  });
}

void Transformer::lay_out(const Setup& setup, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  const Plan& plan = setup.plan;
  logits_ = arena->take<float>(size_t(padded_rows(c.vocab_size)));
  hidden_ = arena->take<float>(size_t(c.width));
  attention_.lay_out(setup, arena);
  residual_ = arena->take<float>(size_t(plan.chunk) * size_t(c.width));
  const int32_t batch = max_batch(plan);
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    s->normed.lay_out(batch, c.width, arena);
    s->heads.lay_out(batch, c.head_output_width(), arena);
    s->delta = arena->take<float>(size_t(batch) * size_t(padded_rows(c.width)));
  });
  dense_.lay_out(setup, arena);
  experts_.lay_out(setup, arena);
}

inline void Transformer::trace_columns(const char* name, int32_t layer, const Batch& batch,
                                       const Columns& columns) const {
  trace_.tensors(name, layer, batch.first, batch.n, columns.x, size_t(columns.cols), config_->width);
}

inline void Transformer::trace_delta(const char* name, int32_t layer, const Batch& batch, const float* delta) const {
  const size_t stride = size_t(padded_rows(config_->width));
  trace_.tensors(name, layer, batch.first, batch.n, delta, stride, config_->width);
}

}  // namespace pith::internal
