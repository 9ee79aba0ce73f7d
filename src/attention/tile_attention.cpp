#include "attention/tile_attention.h"

namespace pith::internal {
namespace {

// The keys and values of n tokens.
struct Tile {
  HeadRows keys, values;
  const HeadRows* rope;  // NULL: keys have no part that heads share
  const int32_t* slots;
  ValueSums sums;
};

void attend_tile(const RingLayer& ring, const Tile& tile, const QueryHeads& query, const TileScratch& s,
                 RunningSoftmax* running) {
  const Kernels& k = ring.kernels;
  const int32_t n_heads = running->n_heads, n = tile.keys.n;
  if (tile.rope != nullptr) fetch_rows(tile.rope->data, tile.rope->stride, tile.rope->index, tile.rope->n);
  prefetch_first_heads(tile.values);
  s.clear_scores(n, running->lanes);
  add_scores(k, query.content, tile.keys, n_heads, s.heads, s.scores);
  if (tile.rope != nullptr) add_scores(k, query.rope, *tile.rope, n_heads, s.heads, s.scores);
  ring.trace.scores(ring.layer, ring.token, n_heads, tile.slots, n, s.scores, running->lanes);
  if (query.content.q == nullptr || tile.values.precision != Precision::i8 || tile.sums == ValueSums::floats) {
    running->weigh(k, n, s.scores);
    return add_sums(k, s.scores, tile.values, n_heads, s.heads, running->out, running->width);
  }
  running->add_tile(k, s.part, n, s.scores);
  blend_rounded_sums(k, s.scores, tile.values, n_heads, s.heads, running->keep(), running->weight(), running->out,
                     running->width);
}

}  // namespace

void TileScratch::lay_out(int32_t max_tokens, int32_t lanes, int32_t max_width, Arena* arena) {
  heads.lay_out(max_tokens, lanes, max_width, arena);
  const size_t n = size_t(max_tokens) * size_t(lanes);
  scores = arena->take_zeros<float>(n);
  key_scales = arena->take_zeros<float>(n);
  value_scales = arena->take_zeros<float>(n);
  rope_scales = arena->take<float>(size_t(max_tokens));
  float* max = arena->take<float>(size_t(lanes));
  float* sum = arena->take<float>(size_t(lanes));
  part = {max, sum, nullptr, nullptr, 0, lanes, 0};
  identity = arena->take<int32_t>(size_t(max_tokens));
  for (int32_t i = 0; i < max_tokens && identity != nullptr; ++i) identity[i] = i;
}

void StoredScales::lay_out(int32_t max_tokens, int32_t lanes, Arena* arena) {
  spread = arena->take_zeros<uint16_t>(size_t(max_tokens) * size_t(lanes) + LatentRing::kSpreadSlack);
}

void TileScratch::clear_scores(int32_t n, int32_t lanes) const {
  for (int32_t i = 0; i < n * lanes; ++i) scores[i] = 0;
}

HeadRows RingLayer::ropes(const int32_t* slots, int32_t n, float* scales) const {
  const bool is_i8 = ring.is_i8();
  if (is_i8) ring.gather_scalars(layer, slots, n, ring.shape().rope_scale_at(), 1, scales, 1);
  return {.data = ring.ropes_of(layer),
          .stride = ring.rope_stride(),
          .index = slots,
          .n = n,
          .width = config.rope_width,
          .heads_per_kv = config.n_heads,
          .precision = ring.precision(),
          .row_scales = is_i8 ? scales : nullptr};
}

HeadRows RingLayer::latents(const int32_t* slots, int32_t n, int32_t block, int32_t n_heads, const float* rho,
                            float* scales) const {
  const CacheShape& shape = ring.shape();
  const float* row_scales = rho;
  if (shape.n_blocks() > 1) {
    ring.gather_scalars(layer, slots, n, block, 1, scales, 1);
    if (rho != nullptr) kernels.multiply(scales, rho, n, scales);
    row_scales = scales;
  }
  return {.data = ring.latents_of(layer) + size_t(block * shape.latent_block) * number_bytes(ring.precision()),
          .stride = ring.latent_stride(),
          .index = slots,
          .n = n,
          .width = shape.block_width(block),
          .heads_per_kv = n_heads,
          .precision = ring.precision(),
          .row_scales = row_scales};
}

void attend_rows(const RingLayer& ring, const RowList& rows, const int32_t* slots, const QueryHeads& query,
                 ValueSums sums, const TileScratch& s, RunningSoftmax* running) {
  const RowShape& shape = *rows.shape;
  const bool is_i8 = shape.precision == Precision::i8;
  if (is_i8) {
    gather_scales(ring.kernels, rows, RowSide::keys, running->lanes, s.key_scales);
    gather_scales(ring.kernels, rows, RowSide::values, running->lanes, s.value_scales);
  }
  const HeadRows keys{.data = rows.rows.keys,
                      .stride = shape.key_bytes,
                      .index = rows.index,
                      .n = rows.n,
                      .width = shape.content_width,
                      .kv_stride = shape.padded_content,
                      .precision = shape.precision,
                      .scales = is_i8 ? s.key_scales : nullptr};
  const HeadRows values{.data = rows.rows.values,
                        .stride = shape.value_bytes,
                        .index = rows.index,
                        .n = rows.n,
                        .width = shape.value_width,
                        .kv_stride = shape.padded_value,
                        .precision = shape.precision,
                        .scales = is_i8 ? s.value_scales : nullptr};
  const HeadRows rope = ring.ropes(slots, rows.n, s.rope_scales);
  attend_tile(ring, {keys, values, &rope, slots, sums}, query, s, running);
}

void attend_cached_heads(const RingLayer& layer, const int32_t* slots, int32_t n, const QueryHeads& query,
                         const TileScratch& s, const StoredScales& stored, RunningSoftmax* running) {
  const Config& c = layer.config;
  const LatentRing& ring = layer.ring;
  const CacheShape& shape = ring.shape();
  const bool is_i8 = ring.is_i8();
  const int32_t share = c.n_heads / c.n_kv_heads;
  const auto gather = [&](int32_t first_scale, float* scales) {
    ring.spread_scales(layer.layer, slots, n, first_scale, c.n_kv_heads, share, stored.spread, running->lanes);
    layer.kernels.widen_scales(stored.spread, n * running->lanes, scales);
  };
  if (is_i8) {
    gather(0, s.key_scales);
    gather(shape.rope_scale_at(), s.value_scales);
  }
  const HeadRows keys{.data = ring.keys_of(layer.layer),
                      .stride = ring.latent_stride(),
                      .index = slots,
                      .n = n,
                      .width = c.value_width,
                      .kv_stride = is_i8 ? shape.stored_block : c.value_width,
                      .heads_per_kv = share,
                      .precision = ring.precision(),
                      .scales = is_i8 ? s.key_scales : nullptr};
  HeadRows values = keys;
  values.data = ring.values_of(layer.layer);
  values.stride = ring.rope_stride();
  values.scales = is_i8 ? s.value_scales : nullptr;
  attend_tile(layer, {keys, values, nullptr, slots, ValueSums::rounded}, query, s, running);
}

}  // namespace pith::internal
