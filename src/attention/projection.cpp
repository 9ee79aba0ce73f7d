#include "attention/projection.h"

namespace pith::internal {

void Projection::lay_out(const Setup& setup, Arena* arena) {
  refer_to(setup);
  const int32_t batch = max_batch(plan_);
  const auto take = [&](int32_t width) { return arena->take<float>(size_t(batch) * size_t(padded_rows(width))); };
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    s->query_latent.lay_out(batch, config_->query_latent_width, arena);
    s->query = take(config_->query_width());
    s->latent = take(latent_width());
    s->keys = take(kv_width());
    s->values = take(kv_width());
  });
}

void Projection::run(int32_t layer, const Batch& batch, Activation x, KvCache* cache) const {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  const Scratch& s = scratch_[batch.worker.thread];
  const bool is_low_rank = c.query_latent_width > 0;
  Product products[3 + KvCache::kMaxConversions];
  size_t n = 0;
  const auto add = [&](const Linear& matrix, float* y, size_t stride) { products[n++] = {&matrix, x, y, stride}; };
  const auto add_padded = [&](const Linear& matrix, float* y) { add(matrix, y, size_t(padded_rows(matrix.rows))); };
  if (is_low_rank) add(w.q_a, s.query_latent.x, size_t(s.query_latent.cols));
  else add_padded(w.q, s.query);
  if (c.is_mha()) {
    add_padded(w.k, s.keys);
    add_padded(w.v, s.values);
  } else {
    add_padded(w.kv_a, s.latent);
  }
  n += cache->begin_layer(layer, products + n);
  apply(*kernels_, batch.worker, {products, n}, batch.n);
  if (is_low_rank) run_low_rank(layer, batch);
  if (c.head_norm == HeadNorm::rms) normalize_heads(layer, batch);
  scale_query(batch);
}

void Projection::run_low_rank(int32_t layer, const Batch& batch) const {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  const Scratch& s = scratch_[batch.worker.thread];
  const Columns& latent = s.query_latent;
  for (int32_t i = 0; i < batch.n; ++i)
    kernels_->rmsnorm(latent.column(i), w.q_a_norm, c.q_norm_epsilon, c.query_latent_width, latent.column(i));
  latent.pad(batch.n, c.query_latent_width);
  const Activation a = latent.prepare(*kernels_, batch.n, plan_.activations, w.q_b.type);
  const Product up{&w.q_b, a, s.query, size_t(padded_rows(w.q_b.rows))};
  apply(*kernels_, batch.worker, {&up, 1}, batch.n);
}

void Projection::normalize_heads(int32_t layer, const Batch& batch) const {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  const Scratch& s = scratch_[batch.worker.thread];
  const auto normalize = [&](float* heads, int32_t n_heads, const float* gamma) {
    for (float* x = heads; x < heads + n_heads * c.value_width; x += c.value_width)
      kernels_->rmsnorm(x, gamma, c.q_norm_epsilon, c.value_width, x);
  };
  for (int32_t i = 0; i < batch.n; ++i) {
    normalize(at(s.query, c.query_width(), i), c.n_heads, w.q_norm);
    normalize(at(s.keys, kv_width(), i), c.n_kv_heads, w.k_norm);
  }
}

// Of the score scale, what is not inside W_Q.
void Projection::scale_query(const Batch& batch) const {
  const Config& c = *config_;
  if (c.content_query_scale == 1 && c.rope_query_scale == 1) return;
  for (int32_t i = 0; i < batch.n; ++i) {
    float* head = at(scratch_[batch.worker.thread].query, c.query_width(), i);
    for (int32_t h = 0; h < c.n_heads; ++h, head += c.query_head_width()) {
      float* rope = head + c.content_width;
      kernels_->shift_scale(head, 0, c.content_query_scale, c.content_width, head);
      kernels_->shift_scale(rope, 0, c.rope_query_scale, c.rope_width, rope);
    }
  }
}

WeightType projection_readers(const Config& c, const Layer& w) {
  return c.is_mha() ? readers_of({&w.q, &w.k, &w.v}) : readers_of({&w.q, &w.q_a, &w.kv_a});
}

}  // namespace pith::internal
