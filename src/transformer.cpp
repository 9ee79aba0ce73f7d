#include "transformer.h"

namespace pith {

void Transformer::lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  team_ = &team;
  activations_i8_ = plan.activations_i8;
  residual_ = arena->take<float>(size_t(padded_rows(config.width)));
  delta_ = arena->take<float>(size_t(padded_rows(config.width)));
  normed_.lay_out(config.width, arena);
  heads_.lay_out(config.head_output_width(), arena);
  hidden_.lay_out(config.feed_forward_width, arena);
  gate_ = arena->take<float>(size_t(padded_rows(config.feed_forward_width)));
  logits_ = arena->take<float>(size_t(padded_rows(config.vocab_size)));
  attention_.lay_out(config, plan, weights, team, arena);
}

bool Transformer::step(int32_t id, uint64_t position, bool wants_logits, const std::atomic<bool>& is_cancelled) {
  embed(id);
  attention_.begin_token(position, id);
  const auto is_taken_back = [&](int32_t n_layers) {
    if (!is_cancelled.load(std::memory_order_relaxed)) return false;
    attention_.roll_back(n_layers);
    return true;
  };
  for (int32_t n = 0; n < config_->n_layers; ++n) {
    if (is_taken_back(n)) return false;
    const Layer& layer = weights_->layers[n];
    attention_.run(n, normalize(layer.attn_norm, layer.attn_norm_bias), heads_.x);
    trace_.tensor("attn_in", n, normed_.x, config_->width);
    trace_.tensor("heads", n, heads_.x, config_->head_output_width());
    add_to_residual(layer.output, heads_);
    trace_.tensor("attn_out", n, delta_, config_->width);
    feed_forward(layer, normalize(layer.ffn_norm, layer.ffn_norm_bias));
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

Activation Transformer::normalize(const float* gamma, const float* beta) {
  const float eps = config_->block_norm_epsilon;
  if (config_->block_norm == BlockNorm::rms) kernels_->rmsnorm(residual_, gamma, eps, config_->width, normed_.x);
  else kernels_->layernorm(residual_, gamma, beta, eps, config_->width, normed_.x);
  return normed_.prepare(*kernels_, config_->width, activations_i8_);
}

void Transformer::feed_forward(const Layer& layer, Activation x) {
  const int32_t n = config_->feed_forward_width;
  float* hidden = hidden_.x;
  const bool is_gated = config_->feed_forward == FeedForward::swiglu;
  const Product products[] = {{&layer.ffn_up, x, hidden}, {&layer.ffn_gate, x, gate_}};
  apply(*kernels_, *team_, {products, is_gated ? 2u : 1u});
  switch (config_->feed_forward) {
    case FeedForward::swiglu: kernels_->silu_multiply(gate_, hidden, n, hidden); break;
    case FeedForward::relu2: kernels_->relu2(hidden, n, hidden); break;
    case FeedForward::gelu_tanh: kernels_->gelu_tanh(hidden, n, hidden); break;
    case FeedForward::gelu_erf: kernels_->gelu_erf(hidden, n, hidden); break;
  }
}

void Transformer::add_to_residual(const Linear& w, const Input& input) {
  apply(*kernels_, *team_, w, input.prepare(*kernels_, w.cols, activations_i8_), delta_);
  kernels_->axpy(config_->residual_scale, delta_, config_->width, residual_);
}

void Transformer::project_logits() {
  const Activation x = normalize(weights_->output_norm, weights_->output_norm_bias);
  trace_.tensor("output_in", -1, normed_.x, config_->width);
  apply(*kernels_, *team_, weights_->output, x, logits_);
  kernels_->shift_scale(logits_, 0, config_->logit_scale, config_->vocab_size, logits_);
}

}  // namespace pith
