#include "attention/latent_tiles.h"

#include "hints.h"
#include "layers/head_lanes.h"

namespace pith::internal {

void LatentTiles::lay_out(const Setup& setup, const CacheShape& shape, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  shape_ = shape;
  n_scales_ = padded_lanes(shape.n_scalars());
  content_.lay_out(c.n_heads, shape.n_blocks(), shape.block_width(0), arena);
  ropes_[0].lay_out(c.n_heads, 1, c.rope_width, arena);
  if (setup.plan.n_keep > 0) ropes_[1].lay_out(c.n_heads, 1, c.rope_width, arena);
}

void LatentTiles::lay_out_scratch(Scratch* s, Arena* arena) const {
  const int32_t lanes = padded_lanes(config_->n_heads);
  const size_t scales = size_t(kTileSlots) * size_t(n_scales_), weights = size_t(kTileSlots) * size_t(lanes);
  s->scalars = arena->take_zeros<float>(scales);
  s->scales = arena->take_zeros<float>(scales);
  s->rho = arena->take<float>(kTileSlots);
  s->scores = arena->take<float>(weights);
  s->p = arena->take<uint8_t>(weights / 4 * kQuadBytes);
  s->steps = arena->take<float>(size_t(lanes));
  s->values = arena->take<uint8_t>(size_t(kTileSlots) / 4 * kQuadBytes * size_t(padded_cols(shape_.block_width(0))));
  float* max = arena->take<float>(size_t(lanes));
  float* sum = arena->take<float>(size_t(lanes));
  s->part = {max, sum, nullptr, nullptr, config_->n_heads, lanes, 0};
}

void LatentTiles::set_ropes(const Step& step) const {
  const int32_t padded = int32_t(padded_cols(config_->rope_width));
  for (int32_t h = 0; h < config_->n_heads; ++h) {
    ropes_[0].set(h, 0, step.window.rope + h * padded, step.window.rope_d[h]);
    if (plan_.n_keep > 0) ropes_[1].set(h, 0, step.pinned.rope + h * padded, step.pinned.rope_d[h]);
  }
}

void LatentTiles::attend(const RingLayer& ring, const SlotTile& tile, const Scratch& s, RunningSoftmax* running) const {
  const Kernels& k = *kernels_;
  const int32_t lanes = running->lanes, n = tile.n;
  const size_t stride = size_t(n_scales_);
  const auto rows = [&](const uint8_t* data, size_t row_stride) {
    return GatheredRows{reinterpret_cast<const int8_t*>(data), row_stride, tile.slots};
  };
  const GatheredRows latents = rows(ring.ring.latents_of(ring.layer), ring.ring.latent_stride());
  const float* scales = load_scales(ring, tile, s);
  for (int32_t i = 0; i < n * lanes; ++i) s.scores[i] = 0;
  k.add_quad_scores(content_.query(), latents, scales, stride, n, s.scores);
  k.add_quad_scores(ropes_[tile.region == Region::pinned ? 1 : 0].query(),
                    rows(ring.ring.ropes_of(ring.layer), ring.ring.rope_stride()), s.scalars + shape_.rope_scale_at(),
                    stride, n, s.scores);
  running->add_tile(k, s.part, n, s.scores);
  // The next tile's latents are asked for in small shares while this one's sums are computed: more requests at once
  // than a core may have under way would be waited for.
  const uint8_t* ahead = ring.ring.latents_of(ring.layer) + ring.ring.latent_stride() * size_t(tile.first + n);
  const auto ask_ahead = [&](size_t bytes) {
    prefetch(ahead, bytes);
    ahead += bytes;
  };
  for (int32_t block = 0; block < shape_.n_blocks(); ++block) {
    const int32_t at = block * shape_.latent_block, width = (shape_.block_width(block) + 15) / 16 * 16;
    const size_t share = size_t(width * n) / 2;
    ask_ahead(share);
    k.round_weights(s.scores, scales + block, stride, n, lanes, s.p, s.steps);
    k.interleave_rows({latents.first + at, latents.stride, latents.index}, n, s.values, width);
    ask_ahead(share);
    k.blend_quad_sums({s.p, s.steps, lanes}, running->n_heads, s.values, width, n, running->keep(), running->weight(),
                      running->out + at, size_t(running->width));
  }
}

// The scales of the tile's blocks, [n, n_scales]: what follows those of the latent has no meaning.
const float* LatentTiles::load_scales(const RingLayer& ring, const SlotTile& tile, const Scratch& s) const {
  const int32_t n = tile.n, stride = n_scales_;
  const bool has_blocks = shape_.n_blocks() > 1, has_rho = shape_.n_rho > 0;
  ring.ring.gather_scalars(ring.layer, tile.slots, n, 0, shape_.n_scalars(), s.scalars, stride);
  if (has_blocks && !has_rho) return s.scalars;
  for (int32_t i = 0; i < n; ++i) s.rho[i] = has_rho ? s.scalars[i * stride + shape_.rho_at()] : 1;
  if (has_blocks) kernels_->scale_rows(s.scalars, s.rho, n, stride, s.scales);
  for (int32_t i = 0; i < n && !has_blocks; ++i) s.scales[i * stride] = s.rho[i];
  return s.scales;
}

}  // namespace pith::internal
