#include "attention/materialised_attention.h"

namespace pith::internal {

void MaterialisedAttention::lay_out(const Setup& setup, const KvCache& cache, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  const Plan& plan = setup.plan;
  cache_ = &cache;
  splits_.lay_out(setup, RingTiles::max_tiles(plan), int32_t(padded_cols(c.value_width)), arena);
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    s->tile.lay_out(kTileSlots, padded_lanes(c.n_heads), std::max(c.kv_head_width(), c.rope_width), arena);
    s->rows = take_rows(cache.row_shape(), kTileSlots, arena);
  });
}

void MaterialisedAttention::attend(int32_t layer, const Step& step, float* out) {
  const Materialiser& materialiser = cache_->materialiser();
  const RingLayer ring{*kernels_, *config_, cache_->ring(), layer, step.trace};
  const int32_t n = step.tiles.n();
  team_->run(n, [&](int32_t index, int32_t thread) {
    const SlotTile tile = step.tiles.at(index);
    const Scratch& s = scratch_[thread];
    CachedToken tokens[kTileSlots];
    for (int32_t i = 0; i < tile.n; ++i) tokens[i] = cache_->token(tile.slots[i]);
    materialiser.materialise_tokens(layer, tokens, tile.n, cache_->pool(), cache_->materialiser_scratch(thread),
                                    s.rows);
    if (step.trace.is_on()) trace_row(layer, tile, step, thread);
    RunningSoftmax running = splits_.begin(index, thread);
    const RowList rows{&materialiser.rows(), s.rows, s.tile.identity, tile.n};
    attend_rows(ring, rows, tile.slots, step.query(tile.region).heads(), ValueSums::rounded, s.tile, &running);
  });
  splits_.merge(*kernels_, n, config_->value_width, out);
}

// The step's own row, if it is in this tile.
inline void MaterialisedAttention::trace_row(int32_t layer, const SlotTile& tile, const Step& step,
                                             int32_t thread) const {
  const int32_t i = cache_->slot_of(0) - tile.first;
  if (i < 0 || i >= tile.n) return;
  const RowShape& shape = cache_->row_shape();
  float* x = cache_->materialiser_scratch(thread).product;
  load_row(*kernels_, shape, shape.at(scratch_[thread].rows, size_t(i)), x);
  step.trace.tensor("kv", layer, 0, x, config_->kv_width());
}

}  // namespace pith::internal
