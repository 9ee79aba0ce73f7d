#include "rotary.h"

namespace pith {

void Angles::lay_out(const Config& config, Arena* arena) {
  n_ = config.rope_width / 2;
  turn_ = arena->take<float>(4 * size_t(n_));
}

void Angles::set(const Kernels& k, const Plan& plan, const Weights& weights, uint64_t position) {
  const uint64_t last = uint64_t(plan.capacity) - 1, pinned = position < last ? position : last;
  k.rope_angles(weights.rope_turns, position, n_, turn_, turn_ + n_);
  k.rope_angles(weights.rope_turns, pinned, n_, turn_ + 2 * n_, turn_ + 3 * n_);
}

void Angles::rotate(const Kernels& k, const Config& config, bool is_pinned, float* x) const {
  const float* cosine = turn_ + (is_pinned ? 2 * n_ : 0);
  (config.rope_interleaved ? k.rope_pairs : k.rope_halves)(cosine, cosine + n_, n_, x);
}

void RotatedQuery::lay_out(const Config& c, Arena* arena) {
  const size_t heads = size_t(c.n_heads), lanes = size_t(padded_lanes(c.n_heads));
  x = arena->take<float>(size_t(c.query_width()));
  content = arena->take<int8_t>(heads * size_t(padded_cols(c.content_width)));
  rope = arena->take<int8_t>(heads * size_t(padded_cols(c.rope_width)));
  content_d = arena->take_zeros<float>(lanes);
  rope_d = arena->take_zeros<float>(lanes);
}

void RotatedQuery::set(const Kernels& k, const Config& c, const float* query, const Angles& angles, bool is_pinned,
                       bool is_rounded) {
  const int32_t width = c.query_head_width();
  is_rounded_ = is_rounded;
  for (int32_t i = 0; i < c.query_width(); ++i) x[i] = query[i];
  for (int32_t h = 0; h < c.n_heads; ++h) angles.rotate(k, c, is_pinned, x + h * width + c.content_width);
  if (!is_rounded) return;
  if (!c.is_mha()) quantize_heads(k, x, width, c.n_heads, c.content_width, content, content_d);
  quantize_heads(k, x + c.content_width, width, c.n_heads, c.rope_width, rope, rope_d);
}

QueryParts RotatedQuery::parts(const Config& c) const {
  const int32_t width = c.query_head_width();
  const HeadQuery rotated{x + c.content_width, width, is_rounded_ ? rope : nullptr, rope_d};
  if (c.is_mha()) return {rotated, {}};
  return {{x, width, is_rounded_ ? content : nullptr, content_d}, rotated};
}

}  // namespace pith
