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
  if (!is_low_rank) return;
  const Columns& latent = s.query_latent;
  for (int32_t i = 0; i < batch.n; ++i)
    kernels_->rmsnorm(latent.column(i), w.q_a_norm, c.q_norm_epsilon, c.query_latent_width, latent.column(i));
  latent.pad(batch.n, c.query_latent_width);
  const Activation a = latent.prepare(*kernels_, batch.n, plan_.activations_i8, w.q_b.type);
  const Product up{&w.q_b, a, s.query, size_t(padded_rows(w.q_b.rows))};
  apply(*kernels_, batch.worker, {&up, 1}, batch.n);
}

WeightType projection_readers(const Config& c, const Layer& w) {
  return c.is_mha() ? readers_of({&w.q, &w.k, &w.v}) : readers_of({&w.q, &w.q_a, &w.kv_a});
}

}  // namespace pith::internal
