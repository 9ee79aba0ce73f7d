// From the normed residual stream to the query, and to what the cache keeps: the products before attention, for a batch
// of tokens.
#ifndef PITH_ATTENTION_PROJECTION_H
#define PITH_ATTENTION_PROJECTION_H

#include <cstdint>

#include "cache/kv_cache.h"
#include "layers/linear.h"
#include "layers/part.h"

namespace pith::internal {

class Projection : Part {
 public:
  void lay_out(const Setup& setup, Arena* arena);

  // x: columns of d, prepared. The cache's products for this layer are computed with them.
  void run(int32_t layer, const Batch& batch, Activation x, KvCache* cache) const;

  // Of the i-th token of the batch that `thread` has projected.
  const float* query(int32_t thread, int32_t i) const { return at(scratch_[thread].query, config_->query_width(), i); }
  float* latent(int32_t thread, int32_t i) const { return at(scratch_[thread].latent, latent_width(), i); }
  float* keys(int32_t thread, int32_t i) const { return at(scratch_[thread].keys, kv_width(), i); }
  const float* values(int32_t thread, int32_t i) const { return at(scratch_[thread].values, kv_width(), i); }

 private:
  void run_low_rank(int32_t layer, const Batch& batch) const;
  void normalize_heads(int32_t layer, const Batch& batch) const;
  void scale_query(const Batch& batch) const;

  // What one thread needs, for a batch of tokens.
  struct Scratch {
    Columns query_latent;  // columns of the query latent; low-rank queries
    float* query;          // [batch, n_h (d_n + d_r) padded]; not rotated yet
    float* latent;         // [batch, r + d_r padded]: W_DKV x, then W_KR x
    float* keys;           // [batch, n_kv d_v padded]; MHA
    float* values;         // [batch, n_kv d_v padded]; MHA
  };

  int32_t latent_width() const { return config_->is_mha() ? 0 : config_->latent_width + config_->rope_width; }
  int32_t kv_width() const { return config_->is_mha() ? config_->n_kv_heads * config_->value_width : 0; }
  static float* at(float* x, int32_t width, int32_t i) { return x + padded_rows(width) * size_t(i); }

  Scratch* scratch_ = nullptr;  // [max_threads]
};

// What the columns are prepared for.
WeightType projection_readers(const Config& config, const Layer& layer);

}  // namespace pith::internal

#endif
