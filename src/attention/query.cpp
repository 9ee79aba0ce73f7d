#include "attention/query.h"

#include "layers/head_lanes.h"

namespace pith::internal {

void RotatedQuery::lay_out(const Setup& setup, Arena* arena) {
  const Config& c = setup.config;
  config_ = &c;
  kernels_ = setup.plan.kernels;
  is_rounded_ = has_integer_scores(setup.plan);
  const size_t heads = size_t(c.n_heads), lanes = size_t(padded_lanes(c.n_heads));
  x = arena->take<float>(size_t(c.query_width()));
  content = arena->take<int8_t>(heads * size_t(padded_cols(c.content_width)));
  rope = arena->take<int8_t>(heads * size_t(padded_cols(c.rope_width)));
  content_d = arena->take_zeros<float>(lanes);
  rope_d = arena->take_zeros<float>(lanes);
}

void RotatedQuery::set(const float* query, const Angles& angles, Region region) {
  const Config& c = *config_;
  const int32_t width = c.query_head_width();
  for (int32_t i = 0; i < c.query_width(); ++i) x[i] = query[i];
  for (int32_t h = 0; h < c.n_heads; ++h) angles.rotate(*kernels_, region, x + h * width + c.content_width);
  if (!is_rounded_) return;
  if (!c.is_mha()) quantize_heads(*kernels_, x, width, c.n_heads, c.content_width, content, content_d);
  quantize_heads(*kernels_, x + c.content_width, width, c.n_heads, c.rope_width, rope, rope_d);
}

QueryHeads RotatedQuery::heads() const {
  const int32_t width = config_->query_head_width();
  const HeadQuery rotated{x + config_->content_width, width, is_rounded_ ? rope : nullptr, rope_d};
  if (config_->is_mha()) return {rotated, {}};
  return {{x, width, is_rounded_ ? content : nullptr, content_d}, rotated};
}

void quantize_heads(const Kernels& k, const float* x, int32_t stride, int32_t n_heads, int32_t width, int8_t* q,
                    float* d) {
  const int32_t padded = int32_t(padded_cols(width));
  for (int32_t h = 0; h < n_heads; ++h, q += padded) {
    d[h] = k.quantize_row(x + h * stride, width, q);
    for (int32_t i = width; i < padded; ++i) q[i] = 0;
  }
}

}  // namespace pith::internal
