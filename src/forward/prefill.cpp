#include "forward/prefill.h"

#include <algorithm>

#include "layers/pointwise.h"

namespace pith::internal {
namespace {

int32_t quotient(int32_t a, int32_t b) { return (a + b - 1) / b; }
int32_t whole_panels(int32_t n) { return quotient(n, kPanelRows) * kPanelRows; }

// What columns that several matrices read are prepared for: floats if one of them is. Without a matrix, the others'.
WeightType readers(const Linear& a, const Linear& b, const Linear& c) {
  const auto is_float = [](const Linear& w) { return w.w != nullptr && w.type == WeightType::f32; };
  return is_float(a) || is_float(b) || is_float(c) ? WeightType::f32 : WeightType::q8;
}

}  // namespace

void Prefill::lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, KvCache* cache,
                      Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  team_ = &team;
  cache_ = cache;
  plan_ = plan;
  attention_.lay_out(config, plan, weights, team, *cache, arena);
  residual_ = arena->take<float>(size_t(plan.chunk) * size_t(config.width));
  scratch_ = arena->take<Scratch>(size_t(plan.max_threads));
  // Many threads share the chunk in small batches: together they need memory for little more than the chunk.
  batch_ = std::min(whole_panels(quotient(plan.chunk, plan.max_threads)), kMaxBatch);
  const auto take = [&](int32_t width) { return arena->take<float>(size_t(batch_) * size_t(padded_rows(width))); };
  for (int32_t thread = 0; thread < plan.max_threads; ++thread) {
    Scratch s{};
    s.normed.lay_out(batch_, config.width, arena);
    s.query_latent.lay_out(batch_, config.query_latent_width, arena);
    s.heads.lay_out(batch_, config.head_output_width(), arena);
    s.hidden.lay_out(batch_, config.feed_forward_width, arena);
    s.query = take(config.query_width());
    s.latent = take(config.is_mha() ? 0 : config.latent_width + config.rope_width);
    s.keys = take(config.is_mha() ? config.n_kv_heads * config.value_width : 0);
    s.values = take(config.is_mha() ? config.n_kv_heads * config.value_width : 0);
    s.gate = take(config.feed_forward == FeedForward::swiglu ? config.feed_forward_width : 0);
    s.delta = take(config.width);
    s.angles.lay_out(config, arena);
    if (!arena->is_measuring()) scratch_[thread] = s;
  }
}

void Prefill::begin(const int32_t* ids, int32_t n, uint64_t position) {
  ids_ = ids;
  n_ = n;
  position_ = position;
  attention_.begin_chunk(position, ids, n);
  for_batches([&](int32_t first, int32_t count, int32_t) {
    for (int32_t i = first; i < first + count; ++i) {
      load_row(*kernels_, weights_->embedding, ids[i], residual_of(i));
      kernels_->shift_scale(residual_of(i), 0, config_->embedding_scale, config_->width, residual_of(i));
    }
  });
}

void Prefill::run_layer(int32_t layer) {
  for_batches([&](int32_t first, int32_t n, int32_t thread) { project(layer, first, n, thread); });
  const uint64_t start = plan_.clock != nullptr ? plan_.clock(plan_.clock_context) : 0;
  attention_.run(layer);
  if (plan_.clock != nullptr) nanoseconds_ += plan_.clock(plan_.clock_context) - start;
  for_batches([&](int32_t first, int32_t n, int32_t thread) {
    const Layer& w = weights_->layers[layer];
    const Scratch& s = scratch_[thread];
    for (int32_t i = 0; i < n; ++i) attention_.load(first + i, s.heads.x + i * s.heads.cols);
    s.heads.pad(n, config_->head_output_width());
    add_to_residual(w.output, s.heads, first, n, s);
    feed_forward(w, first, n, s);
  });
}

void Prefill::commit() { cache_->commit(position_, ids_, n_); }

// f(first, n, thread) over runs of tokens, as many for every thread. A token's numbers do not depend on its neighbours.
template <typename F>
void Prefill::for_batches(const F& f) {
  const int32_t n_threads = team_->n_running(), n_batches = quotient(quotient(n_, batch_), n_threads) * n_threads;
  const int32_t step = whole_panels(quotient(n_, n_batches));
  team_->run(quotient(n_, step), false,
             [&](int32_t piece, int32_t thread) { f(piece * step, std::min(step, n_ - piece * step), thread); });
}

// Queries, and what the cache keeps of the tokens.
void Prefill::project(int32_t layer, int32_t first, int32_t n, int32_t thread) {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  Scratch& s = scratch_[thread];
  const Activation x = normalize_batch(w.attn_norm, w.attn_norm_bias, first, n,
                                       c.is_mha() ? readers(w.q, w.k, w.v) : readers(w.q, w.q_a, w.kv_a), s);
  if (c.is_mha()) project_mha(w, x, n, s);
  else project_latent(w, x, n, s);
  const size_t query = size_t(padded_rows(c.query_width())),
               latent = size_t(padded_rows(c.latent_width + c.rope_width));
  const size_t kv = size_t(padded_rows(c.n_kv_heads * c.value_width));
  for (int32_t i = 0; i < n; ++i) {
    const int32_t token = first + i;
    float scale = CachedToken::kIsNormed;
    s.angles.set(*kernels_, plan_, *weights_, position_ + uint64_t(token));
    if (c.is_mha()) cache_->stage_heads(layer, token, s.keys + kv * size_t(i), s.values + kv * size_t(i), s.angles);
    else scale = cache_->stage(layer, token, ids_[token], s.latent + latent * size_t(i), s.angles, thread);
    attention_.set_token(token, s.query + query * size_t(i), s.angles, scale, thread);
  }
}

void Prefill::project_mha(const Layer& w, Activation x, int32_t n, const Scratch& s) const {
  const size_t kv = size_t(padded_rows(w.k.rows));
  apply_columns(*kernels_, w.q, x, n, s.query, size_t(padded_rows(w.q.rows)));
  apply_columns(*kernels_, w.k, x, n, s.keys, kv);
  apply_columns(*kernels_, w.v, x, n, s.values, kv);
}

void Prefill::project_latent(const Layer& w, Activation x, int32_t n, const Scratch& s) const {
  const Config& c = *config_;
  apply_columns(*kernels_, w.kv_a, x, n, s.latent, size_t(padded_rows(w.kv_a.rows)));
  if (c.query_latent_width == 0) return apply_columns(*kernels_, w.q, x, n, s.query, size_t(padded_rows(w.q.rows)));
  const Columns& latent = s.query_latent;
  apply_columns(*kernels_, w.q_a, x, n, latent.x, size_t(latent.cols));
  for (int32_t i = 0; i < n; ++i) {
    float* column = latent.x + i * latent.cols;
    kernels_->rmsnorm(column, w.q_a_norm, c.q_norm_epsilon, c.query_latent_width, column);
  }
  latent.pad(n, c.query_latent_width);
  apply_columns(*kernels_, w.q_b, latent.prepare(*kernels_, n, plan_.activations_i8, w.q_b.type), n, s.query,
                size_t(padded_rows(w.q_b.rows)));
}

void Prefill::feed_forward(const Layer& w, int32_t first, int32_t n, const Scratch& s) {
  const Config& c = *config_;
  const Activation x = normalize_batch(w.ffn_norm, w.ffn_norm_bias, first, n, readers(w.ffn_up, w.ffn_gate, {}), s);
  const size_t gate = size_t(padded_rows(c.feed_forward_width));
  apply_columns(*kernels_, w.ffn_up, x, n, s.hidden.x, size_t(s.hidden.cols));
  if (c.feed_forward == FeedForward::swiglu) apply_columns(*kernels_, w.ffn_gate, x, n, s.gate, gate);
  for (int32_t i = 0; i < n; ++i) activate(*kernels_, c, s.gate + gate * size_t(i), s.hidden.x + i * s.hidden.cols);
  s.hidden.pad(n, c.feed_forward_width);
  add_to_residual(w.ffn_down, s.hidden, first, n, s);
}

Activation Prefill::normalize_batch(const float* gamma, const float* beta, int32_t first, int32_t n, WeightType readers,
                                    const Scratch& s) const {
  for (int32_t i = 0; i < n; ++i)
    normalize(*kernels_, *config_, residual_of(first + i), gamma, beta, s.normed.x + i * s.normed.cols);
  s.normed.pad(n, config_->width);
  return s.normed.prepare(*kernels_, n, plan_.activations_i8, readers);
}

void Prefill::add_to_residual(const Linear& w, const Columns& columns, int32_t first, int32_t n, const Scratch& s) {
  const size_t stride = size_t(padded_rows(w.rows));
  apply_columns(*kernels_, w, columns.prepare(*kernels_, n, plan_.activations_i8, w.type), n, s.delta, stride);
  for (int32_t i = 0; i < n; ++i)
    kernels_->axpy(config_->residual_scale, s.delta + stride * size_t(i), config_->width, residual_of(first + i));
}

}  // namespace pith::internal
