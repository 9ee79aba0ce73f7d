#include "attention/tile_attention.h"

namespace pith::internal {

void TileScratch::lay_out(int32_t max_tokens, int32_t lanes, int32_t max_width, Arena* arena) {
  heads.lay_out(max_tokens, lanes, max_width, arena);
  const size_t n = size_t(max_tokens) * size_t(lanes);
  scores = arena->take_zeros<float>(n);
  key_scales = arena->take_zeros<float>(n);
  value_scales = arena->take_zeros<float>(n);
  rope_scales = arena->take<float>(size_t(max_tokens));
  identity = arena->take<int32_t>(size_t(max_tokens));
  for (int32_t i = 0; i < max_tokens && identity != nullptr; ++i) identity[i] = i;
}

void TileScratch::clear_scores(int32_t n, int32_t lanes) const {
  for (int32_t i = 0; i < n * lanes; ++i) scores[i] = 0;
}

HeadRows rope_rows(const LatentRing& ring, const Config& config, int32_t layer, const int32_t* slots, int32_t n,
                   bool is_i8, float* scales) {
  if (is_i8) ring.gather_scalars(layer, slots, n, ring.shape().rope_scale_at(), 1, scales, 1);
  return {.first = ring.ropes_of(layer),
          .stride = ring.rope_stride(),
          .index = slots,
          .width = config.rope_width,
          .heads_per_kv = config.n_heads,
          .is_i8 = is_i8,
          .row_scales = is_i8 ? scales : nullptr};
}

HeadRows latent_rows(const Kernels& k, const LatentRing& ring, int32_t layer, const int32_t* slots, int32_t n,
                     int32_t part, int32_t n_heads, bool is_i8, const float* rho, float* scales) {
  const CacheShape& shape = ring.shape();
  const float* row_scales = rho;
  if (shape.n_parts() > 1) {
    ring.gather_scalars(layer, slots, n, part, 1, scales, 1);
    if (rho != nullptr) k.multiply(scales, rho, n, scales);
    row_scales = scales;
  }
  return {.first = ring.latents_of(layer) + size_t(part * shape.latent_block) * (is_i8 ? 1 : 4),
          .stride = ring.latent_stride(),
          .index = slots,
          .width = shape.part_width(part),
          .heads_per_kv = n_heads,
          .is_i8 = is_i8,
          .row_scales = row_scales};
}

void attend_tile(const Kernels& k, const QueryHeads& query, const HeadRows& keys, const HeadRows* rope,
                 const HeadRows& values, int32_t n, const TileScratch& scratch, RunningSoftmax* running) {
  const int32_t n_heads = running->n_heads;
  prefetch_rows(values, n_heads, n);
  scratch.clear_scores(n, running->lanes);
  add_scores(k, query.content, keys, n_heads, n, scratch.heads, scratch.scores);
  if (rope != nullptr) add_scores(k, query.rope, *rope, n_heads, n, scratch.heads, scratch.scores);
  scratch.trace.tensor("scores", -1, scratch.scores, n * running->lanes);
  running->weigh(k, n, scratch.scores);
  add_sums(k, scratch.scores, values, n_heads, n, scratch.heads, running->out, running->width);
}

void attend_rows(const Kernels& k, const Config& c, const LatentRing& ring, int32_t layer, const RowShape& shape,
                 Row rows, const int32_t* index, const int32_t* slots, int32_t n, const QueryHeads& query,
                 const TileScratch& s, RunningSoftmax* running) {
  const bool is_i8 = shape.is_i8;
  if (is_i8) {
    gather_scales(k, shape, rows.scales, false, index, n, running->lanes, s.key_scales);
    gather_scales(k, shape, rows.scales, true, index, n, running->lanes, s.value_scales);
  }
  const HeadRows keys{.first = rows.first,
                      .stride = shape.key_bytes,
                      .index = index,
                      .width = c.content_width,
                      .part_width = shape.padded_content,
                      .is_i8 = is_i8,
                      .scales = is_i8 ? s.key_scales : nullptr};
  const HeadRows values{.first = rows.second,
                        .stride = shape.value_bytes,
                        .index = index,
                        .width = c.value_width,
                        .part_width = shape.padded_value,
                        .is_i8 = is_i8,
                        .scales = is_i8 ? s.value_scales : nullptr};
  const HeadRows rope = rope_rows(ring, c, layer, slots, n, is_i8, s.rope_scales);
  attend_tile(k, query, keys, &rope, values, n, s, running);
}

void attend_cached_heads(const Kernels& k, const Config& c, const LatentRing& ring, int32_t layer, const int32_t* slots,
                         int32_t n, const QueryHeads& query, const TileScratch& s, RunningSoftmax* running) {
  const CacheShape& shape = ring.shape();
  const bool is_i8 = shape.n_latent_scales > 0;
  const int32_t share = c.n_heads / c.n_kv_heads;
  for (int32_t i = 0; i < 2 && is_i8; ++i) {
    float* scales = i == 0 ? s.key_scales : s.value_scales;
    ring.gather_scalars(layer, slots, n, i == 0 ? 0 : shape.rope_scale_at(), c.n_kv_heads, scales, running->lanes);
    for (int32_t t = 0; t < n && share > 1; ++t) {  // from a scale per KV head to one per head, last first
      for (int32_t h = c.n_heads; h-- > 0;) scales[t * running->lanes + h] = scales[t * running->lanes + h / share];
    }
  }
  const HeadRows keys{.first = ring.latents_of(layer),
                      .stride = ring.latent_stride(),
                      .index = slots,
                      .width = c.value_width,
                      .part_width = is_i8 ? shape.stored_block : c.value_width,
                      .heads_per_kv = share,
                      .is_i8 = is_i8,
                      .scales = is_i8 ? s.key_scales : nullptr};
  HeadRows values = keys;
  values.first = ring.ropes_of(layer);
  values.stride = ring.rope_stride();
  values.scales = is_i8 ? s.value_scales : nullptr;
  attend_tile(k, query, keys, nullptr, values, n, s, running);
}

}  // namespace pith::internal
