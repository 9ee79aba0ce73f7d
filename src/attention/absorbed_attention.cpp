#include "attention/absorbed_attention.h"

namespace pith::internal {

void AbsorbedAttention::lay_out(const Setup& setup, const LatentRing& ring, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  ring_ = &ring;
  has_integer_scores_ = has_integer_scores(setup.plan) && LatentTiles::is_possible(c);
  const int32_t lanes = padded_lanes(c.n_heads);
  const size_t latent = size_t(padded_cols(c.latent_width));
  if (has_integer_scores_) latents_.lay_out(setup, ring.shape(), arena);
  splits_.lay_out(setup, kMaxRuns, int32_t(latent), arena);
  absorbed_ = arena->take<float>(size_t(c.n_heads) * latent);
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    s->sum.lay_out(1, c.latent_width, arena);
    if (has_integer_scores_) {
      latents_.lay_out_scratch(&s->latents, arena);
      s->rounded = arena->take_zeros<int8_t>(latent);
      return;
    }
    s->tile.lay_out(kTileSlots, lanes, std::max(c.latent_width, c.rope_width), arena);
    s->rho = arena->take<float>(kTileSlots);
    s->row_scales = arena->take<float>(kTileSlots);
  });
}

void AbsorbedAttention::attend(int32_t layer, const Step& step, float* out) {
  const Config& c = *config_;
  const RingLayer ring{*kernels_, c, *ring_, layer, step.trace};
  team_->run(c.n_heads, [&](int32_t head, int32_t thread) { absorb(ring, step, head, scratch_[thread]); });
  if (has_integer_scores_) latents_.set_ropes(step);
  const int32_t n = step.tiles.n(), n_runs = std::min(n, kMaxRuns);
  team_->run(n_runs, [&](int32_t run, int32_t thread) {
    RunningSoftmax running = splits_.begin(run, thread);
    const int32_t last = int32_t(int64_t(n) * (run + 1) / n_runs);
    for (int32_t i = int32_t(int64_t(n) * run / n_runs); i < last; ++i) {
      const SlotTile tile = step.tiles.at(i);
      if (has_integer_scores_) latents_.attend(ring, tile, scratch_[thread].latents, &running);
      else attend_tile(ring, step, tile, scratch_[thread], &running);
    }
  });
  splits_.weigh(*kernels_, n_runs);
  team_->run(c.n_heads, [&](int32_t head, int32_t thread) {
    const Scratch& s = scratch_[thread];
    splits_.merge_head(*kernels_, n_runs, head, c.latent_width, s.sum.x);
    up_project(layer, head, s, out);
  });
}

// W_UK^T q of a head, so that its scores read the latents as they are.
void AbsorbedAttention::absorb(const RingLayer& ring, const Step& step, int32_t head, const Scratch& s) const {
  const Config& c = *config_;
  const CacheShape& shape = ring_->shape();
  const Linear& up = weights_->layers[ring.layer].kv_b;
  const int32_t first = head * c.kv_head_width() / kPanelRows;
  float* absorbed = absorbed_ + head * int32_t(padded_cols(c.latent_width));
  apply_transposed(*kernels_, {up, first, first + c.content_width / kPanelRows},
                   step.window.x + head * c.query_head_width(), has_integer_scores_ ? Precision::i8 : Precision::f32,
                   absorbed);
  for (int32_t block = 0; block < shape.n_blocks() && has_integer_scores_; ++block) {
    float d = 0;
    quantize_heads(*kernels_, absorbed + block * shape.latent_block, 0, 1, shape.block_width(block), s.rounded, &d);
    latents_.set_query(head, block, s.rounded, d);
  }
}

// With scores that are sums of floats.
void AbsorbedAttention::attend_tile(const RingLayer& ring, const Step& step, const SlotTile& tile, const Scratch& s,
                                    RunningSoftmax* running) const {
  const Config& c = *config_;
  const CacheShape& shape = ring_->shape();
  const int32_t stride = int32_t(padded_cols(c.latent_width)), width = c.query_head_width();
  const float* rho = shape.n_rho > 0 ? s.rho : nullptr;
  if (rho != nullptr) ring_->gather_scalars(ring.layer, tile.slots, tile.n, shape.rho_at(), 1, s.rho, 1);
  const auto latents = [&](int32_t block) {
    return ring.latents(tile.slots, tile.n, block, c.n_heads, rho, s.row_scales);
  };
  s.tile.clear_scores(tile.n, running->lanes);
  for (int32_t block = 0; block < shape.n_blocks(); ++block) {
    const HeadQuery query{absorbed_ + block * shape.latent_block, stride, nullptr, nullptr};
    add_scores(*kernels_, query, latents(block), c.n_heads, s.tile.heads, s.tile.scores);
  }
  const HeadQuery rope_query{step.query(tile.region).x + c.content_width, width, nullptr, nullptr};
  const HeadRows ropes = ring.ropes(tile.slots, tile.n, s.tile.rope_scales);
  add_scores(*kernels_, rope_query, ropes, c.n_heads, s.tile.heads, s.tile.scores);
  running->weigh(*kernels_, tile.n, s.tile.scores);
  for (int32_t block = 0; block < shape.n_blocks(); ++block)
    add_sums(*kernels_, s.tile.scores, latents(block), c.n_heads, s.tile.heads,
             running->out + block * shape.latent_block, running->width);
}

// W_UV of a head times its sum of latents, in s.sum.x.
void AbsorbedAttention::up_project(int32_t layer, int32_t head, const Scratch& s, float* out) const {
  const Config& c = *config_;
  const Linear& up = weights_->layers[layer].kv_b;
  s.sum.pad(1, c.latent_width);
  const Activation sum = s.sum.prepare(*kernels_, 1, plan_.activations, up.type);
  const int32_t row = (head * c.kv_head_width() + c.content_width) / kPanelRows;
  apply_columns(*kernels_, {up, row, row + c.value_width / kPanelRows}, sum, 1, out + head * c.value_width, 0);
}

}  // namespace pith::internal
