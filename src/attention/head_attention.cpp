#include "attention/head_attention.h"

namespace pith::internal {

void HeadAttention::lay_out(const Setup& setup, const LatentRing& ring, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  const Plan& plan = setup.plan;
  ring_ = &ring;
  splits_.lay_out(setup, RingTiles::max_tiles(plan), int32_t(padded_cols(c.value_width)), arena);
  const int32_t lanes = padded_lanes(c.n_heads);
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    s->tile.lay_out(kTileSlots, lanes, c.value_width, arena);
    s->scales.lay_out(kTileSlots, lanes, arena);
  });
}

void HeadAttention::attend(int32_t layer, const Step& step, float* out) {
  const RingLayer ring{*kernels_, *config_, *ring_, layer, step.trace};
  const int32_t n = step.tiles.n();
  team_->run(n, [&](int32_t index, int32_t thread) {
    const SlotTile tile = step.tiles.at(index);
    RunningSoftmax running = splits_.begin(index, thread);
    const Scratch& s = scratch_[thread];
    attend_cached_heads(ring, tile.slots, tile.n, step.query(tile.region).heads(), s.tile, s.scales, &running);
  });
  splits_.merge(*kernels_, n, config_->value_width, out);
}

}  // namespace pith::internal
