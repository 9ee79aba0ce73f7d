#include "forward/transformer.h"

#include "layers/pointwise.h"

namespace pith::internal {
void Transformer::lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  team_ = &team;
  plan_ = plan;
  residual_ = arena->take<float>(size_t(padded_rows(config.width)));
  delta_ = arena->take<float>(size_t(padded_rows(config.width)));
  normed_.lay_out(config.width, arena);
  heads_.lay_out(config.head_output_width(), arena);
  hidden_.lay_out(config.feed_forward_width, arena);
  gate_ = arena->take<float>(size_t(padded_rows(config.feed_forward_width)));
  logits_ = arena->take<float>(size_t(padded_rows(config.vocab_size)));
  cache_.lay_out(config, plan, weights, team, arena);
  attention_.lay_out(config, plan, weights, team, &cache_, arena);
  if (plan.chunk > 1) prefill_.lay_out(config, plan, weights, team, &cache_, arena);
}

bool Transformer::step(int32_t id, uint64_t position, bool wants_logits, const std::atomic<bool>& is_cancelled) {
  embed(id);
  attention_.begin_token(position, id);
  const auto is_taken_back = [&](int32_t n_layers) {
    if (!is_cancelled.load(std::memory_order_relaxed)) return false;
    cache_.roll_back(n_layers);
    return true;
  };
  for (int32_t n = 0; n < config_->n_layers; ++n) {
    if (is_taken_back(n)) return false;
    const Layer& layer = weights_->layers[n];
    attention_.run(n, prepare_normed(layer.attn_norm, layer.attn_norm_bias), heads_.x);
    trace_.tensor("attn_in", n, normed_.x, config_->width);
    trace_.tensor("heads", n, heads_.x, config_->head_output_width());
    add_to_residual(layer.output, heads_);
    trace_.tensor("attn_out", n, delta_, config_->width);
    feed_forward(layer, prepare_normed(layer.ffn_norm, layer.ffn_norm_bias));
    trace_.tensor("ffn_in", n, normed_.x, config_->width);
    add_to_residual(layer.ffn_down, hidden_);
    trace_.tensor("ffn_out", n, delta_, config_->width);
  }
  if (is_taken_back(config_->n_layers)) return false;
  if (wants_logits) project_logits();
  return true;
}

void Transformer::embed(int32_t id) {
  load_row(*kernels_, weights_->embedding, id, residual_);
  kernels_->shift_scale(residual_, 0, config_->embedding_scale, config_->width, residual_);
  trace_.tensor("embedding", -1, residual_, config_->width);
}

Activation Transformer::prepare_normed(const float* gamma, const float* beta) {
  normalize(*kernels_, *config_, residual_, gamma, beta, normed_.x);
  return normed_.prepare(*kernels_, config_->width, plan_.activations_i8);
}

void Transformer::feed_forward(const Layer& layer, Activation x) {
  const bool is_gated = config_->feed_forward == FeedForward::swiglu;
  const Product products[] = {{&layer.ffn_up, x, hidden_.x}, {&layer.ffn_gate, x, gate_}};
  apply(*kernels_, *team_, {products, is_gated ? 2u : 1u});
  activate(*kernels_, *config_, gate_, hidden_.x);
}

void Transformer::add_to_residual(const Linear& w, const Input& input) {
  apply(*kernels_, *team_, w, input.prepare(*kernels_, w.cols, plan_.activations_i8), delta_);
  kernels_->axpy(config_->residual_scale, delta_, config_->width, residual_);
}

void Transformer::project_logits() {
  const Activation x = prepare_normed(weights_->output_norm, weights_->output_norm_bias);
  trace_.tensor("output_in", -1, normed_.x, config_->width);
  apply(*kernels_, *team_, weights_->output, x, logits_);
  kernels_->shift_scale(logits_, 0, config_->logit_scale, config_->vocab_size, logits_);
}

bool Transformer::is_prompt(size_t n) const { return plan_.chunk > 1 && n >= size_t(least_prompt(plan_.form)); }

void Transformer::finish_prefill(bool wants_logits) {
  prefill_.commit();
  if (!wants_logits) return;
  for (int32_t i = 0; i < config_->width; ++i) residual_[i] = prefill_.last_residual()[i];
  project_logits();
}

}  // namespace pith::internal
