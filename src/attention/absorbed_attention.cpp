#include "attention/absorbed_attention.h"

namespace pith::internal {

void AbsorbedAttention::lay_out(const Setup& setup, const LatentRing& ring, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  const Plan& plan = setup.plan;
  ring_ = &ring;
  has_integer_scores_ = has_integer_scores(plan);
  const int32_t head_tasks = std::min(c.n_heads, plan.max_threads), lanes = padded_lanes(c.n_heads);
  const size_t latent = size_t(padded_cols(c.latent_width)), heads = size_t(c.n_heads);
  splits_.lay_out(setup, std::max(head_tasks, kMaxRuns), int32_t(latent), arena);
  merged_ = arena->take<float>(heads * size_t(c.latent_width));
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    s->tile.lay_out(kTileSlots, lanes, std::max(c.latent_width, c.rope_width), arena);
    s->sum.lay_out(1, c.latent_width, arena);
    s->absorbed = arena->take<float>(heads * latent);
    s->absorbed_q = arena->take_zeros<int8_t>(heads * latent);
    s->absorbed_d = arena->take_zeros<float>(latent / kBlockCols * size_t(lanes));
    s->rope_d = arena->take_zeros<float>(size_t(lanes));
    s->rho = arena->take<float>(kTileSlots);
    s->row_scales = arena->take<float>(kTileSlots);
  });
}

// Few tokens: threads share the heads, from absorption to output. Many: they share the tokens, in as many runs as the
// context alone says.
void AbsorbedAttention::attend(int32_t layer, const Step& step, float* out) {
  const RingLayer ring{*kernels_, *config_, *ring_, layer, step.trace};
  const int32_t n_runs = std::min(step.tiles.n() / kRunTiles, kMaxRuns);
  if (n_runs < 2) share_heads(ring, step, out);
  else share_tiles(ring, step, n_runs, out);
}

void AbsorbedAttention::share_heads(const RingLayer& ring, const Step& step, float* out) {
  const Config& c = *config_;
  const int32_t n_heads = quotient_up(c.n_heads, team_->n_running());  // a head's result does not depend on the others
  team_->run(quotient_up(c.n_heads, n_heads), [&](int32_t task, int32_t thread) {
    const Scratch& s = scratch_[thread];
    const Heads heads{task * n_heads, std::min(n_heads, c.n_heads - task * n_heads)};
    absorb(ring, step, heads, s);
    RunningSoftmax running = splits_.begin_heads(task, heads.n, thread);
    for (int32_t i = 0; i < step.tiles.n(); ++i) attend_tile(ring, step, step.tiles.at(i), heads, s, &running);
    for (int32_t h = 0; h < heads.n; ++h) {
      kernels_->shift_scale(running.out + h * running.width, 0, 1.0f / running.sum[h], c.latent_width, s.sum.x);
      up_project(ring.layer, heads.first + h, s, out);
    }
  });
}

void AbsorbedAttention::share_tiles(const RingLayer& ring, const Step& step, int32_t n_runs, float* out) {
  const Config& c = *config_;
  const Heads all{0, c.n_heads};
  const int32_t n = step.tiles.n();
  for (int32_t thread = 0; thread < plan_.max_threads; ++thread) scratch_[thread].is_absorbed = false;
  team_->run(n_runs, [&](int32_t run, int32_t thread) {
    Scratch& s = scratch_[thread];
    if (!s.is_absorbed) absorb(ring, step, all, s);  // by every thread for itself: no other join
    s.is_absorbed = true;
    RunningSoftmax running = splits_.begin(run, thread);
    const int32_t last = int32_t(int64_t(n) * (run + 1) / n_runs);
    for (int32_t i = int32_t(int64_t(n) * run / n_runs); i < last; ++i)
      attend_tile(ring, step, step.tiles.at(i), all, s, &running);
  });
  splits_.merge(*kernels_, n_runs, c.latent_width, merged_);
  for (int32_t h = 0; h < c.n_heads; ++h) {
    const Scratch& s = scratch_[0];
    for (int32_t j = 0; j < c.latent_width; ++j) s.sum.x[j] = merged_[h * c.latent_width + j];
    up_project(ring.layer, h, s, out);
  }
}

// W_UK^T q of some heads, so that scores read the latents as they are.
void AbsorbedAttention::absorb(const RingLayer& ring, const Step& step, const Heads& heads, const Scratch& s) const {
  const Config& c = *config_;
  const Linear& up = weights_->layers[ring.layer].kv_b;
  const int32_t stride = int32_t(padded_cols(c.latent_width)), lanes = padded_lanes(heads.n);
  for (int32_t h = 0; h < heads.n; ++h) {
    const int32_t first = (heads.first + h) * c.kv_head_width() / kPanelRows;
    apply_transposed(*kernels_, {up, first, first + c.content_width / kPanelRows},
                     step.window.x + (heads.first + h) * c.query_head_width(), s.absorbed + h * stride);
  }
  const CacheShape& shape = ring_->shape();
  for (int32_t block = 0; block < shape.n_blocks() && has_integer_scores_; ++block) {
    const int32_t at = block * shape.latent_block;
    quantize_heads(*kernels_, s.absorbed + at, stride, heads.n, shape.block_width(block), s.absorbed_q + heads.n * at,
                   s.absorbed_d + block * lanes);
  }
}

void AbsorbedAttention::attend_tile(const RingLayer& ring, const Step& step, const SlotTile& tile, const Heads& heads,
                                    const Scratch& s, RunningSoftmax* running) const {
  const Config& c = *config_;
  const CacheShape& shape = ring_->shape();
  const int32_t stride = int32_t(padded_cols(c.latent_width));
  const float* rho = shape.n_rho > 0 ? s.rho : nullptr;
  if (rho != nullptr) ring_->gather_scalars(ring.layer, tile.slots, tile.n, shape.rho_at(), 1, s.rho, 1);
  const auto latents = [&](int32_t block) {
    return ring.latents(tile.slots, tile.n, block, heads.n, rho, s.row_scales);
  };
  s.tile.clear_scores(tile.n, running->lanes);
  for (int32_t block = 0; block < shape.n_blocks(); ++block) {
    const int32_t at = block * shape.latent_block;
    const HeadQuery query{s.absorbed + at, stride, has_integer_scores_ ? s.absorbed_q + heads.n * at : nullptr,
                          s.absorbed_d + block * running->lanes};
    add_scores(*kernels_, query, latents(block), heads.n, s.tile.heads, s.tile.scores);
  }
  const RotatedQuery& rotated = step.query(tile.region);
  for (int32_t h = 0; h < heads.n; ++h) s.rope_d[h] = rotated.rope_d[heads.first + h];
  const int32_t width = c.query_head_width();
  const HeadQuery rope_query{
      rotated.x + heads.first * width + c.content_width, width,
      has_integer_scores_ ? rotated.rope + heads.first * int32_t(padded_cols(c.rope_width)) : nullptr, s.rope_d};
  HeadRows ropes = ring.ropes(tile.slots, tile.n, s.tile.rope_scales);
  ropes.heads_per_kv = heads.n;
  add_scores(*kernels_, rope_query, ropes, heads.n, s.tile.heads, s.tile.scores);
  running->weigh(*kernels_, tile.n, s.tile.scores);
  for (int32_t block = 0; block < shape.n_blocks(); ++block)
    add_sums(*kernels_, s.tile.scores, latents(block), heads.n, s.tile.heads, running->out + block * shape.latent_block,
             running->width);
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
