#include "attention/attention.h"

namespace pith::internal {

void Attention::lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, KvCache* cache,
                        Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  team_ = &team;
  cache_ = cache;
  plan_ = plan;
  is_rounded_ = plan.cache_i8 && plan.activations_i8;
  if (plan.form == AttentionForm::grouped) grouped_.lay_out(config, plan, weights, *cache, arena);
  const int32_t tiles =
      (plan.n_keep + kTileSlots - 1) / kTileSlots + (plan.capacity - plan.n_keep + kTileSlots - 1) / kTileSlots;
  const bool is_absorbed = plan.form == AttentionForm::absorbed;
  const int32_t head_runs = config.n_heads < plan.max_threads ? config.n_heads : plan.max_threads;
  const int32_t max_pieces = plan.form == AttentionForm::grouped ? GroupedAttention::kMaxPieces
                             : is_absorbed                       ? (head_runs > kMaxSlotRuns ? head_runs : kMaxSlotRuns)
                                                                 : tiles;
  splits_.lay_out(max_pieces, plan.max_threads, config.n_heads,
                  int32_t(padded_cols(is_absorbed ? config.latent_width : config.value_width)), arena);
  merged_ = arena->take<float>(is_absorbed ? size_t(config.n_heads) * size_t(config.latent_width) : 0);
  all_slots_ = arena->take<int32_t>(size_t(plan.capacity));
  for (int32_t slot = 0; slot < plan.capacity && all_slots_ != nullptr; ++slot) all_slots_[slot] = slot;
  query_latent_.lay_out(config.query_latent_width, arena);
  const size_t kv = config.is_mha() ? size_t(padded_rows(config.n_kv_heads * config.value_width)) : 0;
  latent_ = arena->take<float>(config.is_mha() ? 0 : size_t(padded_rows(config.latent_width + config.rope_width)));
  keys_ = arena->take<float>(kv);
  values_ = arena->take<float>(kv);
  query_ = arena->take<float>(size_t(padded_rows(config.query_width())));
  window_.lay_out(config, arena);
  pinned_.lay_out(config, arena);
  angles_.lay_out(config, arena);
  lay_out_scratch(arena);
}

void Attention::lay_out_scratch(Arena* arena) {
  const Config& c = *config_;
  const bool is_absorbed = plan_.form == AttentionForm::absorbed;
  const int32_t tokens = plan_.form == AttentionForm::grouped ? GroupedAttention::kMaxTokens : kTileSlots;
  const int32_t widest = c.is_mha()                           ? c.value_width
                         : c.latent_width > c.kv_head_width() ? c.latent_width
                                                              : c.kv_head_width();
  const size_t latent = size_t(padded_cols(c.latent_width)), heads = is_absorbed ? size_t(c.n_heads) : 0;
  scratch_ = arena->take<Scratch>(size_t(plan_.max_threads));
  for (int32_t thread = 0; thread < plan_.max_threads; ++thread) {
    Scratch s{};
    s.block.lay_out(tokens, padded_lanes(c.n_heads), widest > c.rope_width ? widest : c.rope_width, arena);
    if (plan_.form == AttentionForm::materialise || plan_.form == AttentionForm::grouped)
      s.tile = take_rows(cache_->materialiser().rows(), kTileSlots, arena);
    s.sum.lay_out(is_absorbed ? c.latent_width : 0, arena);
    s.absorbed = arena->take<float>(heads * latent);
    s.absorbed_q = arena->take_zeros<int8_t>(heads * latent);
    s.absorbed_d = arena->take_zeros<float>(heads > 0 ? latent / kBlockCols * size_t(padded_lanes(c.n_heads)) : 0);
    s.rope_d = arena->take_zeros<float>(size_t(padded_lanes(c.n_heads)));
    s.rho = arena->take<float>(kTileSlots);
    s.row_scales = arena->take<float>(kTileSlots);
    if (!arena->is_measuring()) scratch_[thread] = s;
  }
}

void Attention::begin_token(uint64_t position, int32_t id) {
  position_ = position;
  cache_->replace(position, id);
  if (plan_.form == AttentionForm::grouped) grouped_.schedule();
  angles_.set(*kernels_, plan_, *weights_, position);
}

void Attention::run(int32_t layer, Activation x, float* out) {
  cache_->begin_layer(layer);
  if (config_->is_mha()) project_mha(layer, x);
  else project(layer, x);
  const uint64_t start = plan_.clock != nullptr ? plan_.clock(plan_.clock_context) : 0;
  trace_.tensor("q", layer, window_.x, config_->query_width());
  if (!config_->is_mha()) cache_->store(layer, latent_, angles_);
  attend(layer, out);
  if (plan_.clock != nullptr) nanoseconds_ += plan_.clock(plan_.clock_context) - start;
}

// ---- Projection
// --------------------------------------------------------------------------------------------------------

// The query, what the cache keeps of the token, and the gates that no row holds: all from inputs that are there.
void Attention::project(int32_t layer, Activation x) {
  const Layer& w = weights_->layers[layer];
  const bool is_low_rank = config_->query_latent_width > 0;
  Product products[2 + KvCache::kMaxConversions] = {
      {is_low_rank ? &w.q_a : &w.q, x, is_low_rank ? query_latent_.x : query_}, {&w.kv_a, x, latent_}};
  const size_t n = 2 + cache_->add_products(layer, products + 2);
  apply(*kernels_, *team_, {products, n});
  if (is_low_rank) {
    kernels_->rmsnorm(query_latent_.x, w.q_a_norm, config_->q_norm_epsilon, config_->query_latent_width,
                      query_latent_.x);
    apply(*kernels_, *team_, w.q_b, query_latent_.prepare(*kernels_, config_->query_latent_width, plan_.activations_i8),
          query_);
  }
  rotate_query();
}

void Attention::project_mha(int32_t layer, Activation x) {
  const Layer& w = weights_->layers[layer];
  const Product products[] = {{&w.q, x, query_}, {&w.k, x, keys_}, {&w.v, x, values_}};
  apply(*kernels_, *team_, products);
  rotate_query();
  cache_->store_heads(layer, keys_, values_, angles_);
}

void Attention::rotate_query() {
  window_.set(*kernels_, *config_, query_, angles_, false, is_rounded_);
  if (plan_.n_keep > 0) pinned_.set(*kernels_, *config_, query_, angles_, true, is_rounded_);
}

// ---- Attention over the ring
// -----------------------------------------------------------------------------------------

void Attention::attend(int32_t layer, float* out) {
  switch (plan_.form) {
    case AttentionForm::grouped: return attend_grouped(layer, out);
    case AttentionForm::absorbed: return attend_absorbed(layer, out);
    case AttentionForm::materialise:
    case AttentionForm::mha: return attend_tiles(layer, out);
  }
}

void Attention::attend_grouped(int32_t layer, float* out) {
  grouped_.begin_layer(layer, window_.parts(*config_), pinned_.parts(*config_));
  const int32_t n_pieces = grouped_.n_pieces();
  team_->run(n_pieces, false, [&](int32_t piece, int32_t thread) {
    RunningSoftmax running = splits_.begin(piece, thread);
    const Scratch& s = scratch_[thread];
    grouped_.run_piece(piece, s.block, cache_->materialiser_scratch(thread), s.tile, thread, &running);
  });
  splits_.merge(*kernels_, n_pieces, config_->value_width, out);
}

// Tiles of at most 64 slots: of the pinned ones, then of the window.
int32_t Attention::n_tiles() const {
  const int32_t filled = cache_->ring().n_filled(position_ + 1), pinned = filled < plan_.n_keep ? filled : plan_.n_keep;
  return (pinned + kTileSlots - 1) / kTileSlots + (filled - pinned + kTileSlots - 1) / kTileSlots;
}

Attention::Tile Attention::tile_at(int32_t index) const {
  const int32_t filled = cache_->ring().n_filled(position_ + 1), pinned = filled < plan_.n_keep ? filled : plan_.n_keep;
  const int32_t n_pinned = (pinned + kTileSlots - 1) / kTileSlots;
  const bool is_pinned = index < n_pinned;
  const int32_t first = is_pinned ? index * kTileSlots : pinned + (index - n_pinned) * kTileSlots;
  const int32_t left = (is_pinned ? pinned : filled) - first;
  return {first, left < kTileSlots ? left : kTileSlots, is_pinned};
}

void Attention::attend_tiles(int32_t layer, float* out) {
  const int32_t n = n_tiles();
  team_->run(n, false, [&](int32_t index, int32_t thread) {
    const Tile tile = tile_at(index);
    RunningSoftmax running = splits_.begin(index, thread);
    const Scratch& s = scratch_[thread];
    const int32_t* slots = all_slots_ + tile.first;
    const QueryHeads query = query_of(tile).parts(*config_);
    if (config_->is_mha())
      return attend_cached_heads(*kernels_, *config_, cache_->ring(), layer, slots, tile.n, query, s.block, &running);
    CachedToken tokens[kTileSlots];
    for (int32_t i = 0; i < tile.n; ++i) tokens[i] = cache_->token(slots[i]);
    cache_->materialiser().materialise_tokens(layer, tokens, tile.n, cache_->pool(),
                                              cache_->materialiser_scratch(thread), s.tile);
    if (const int32_t i = cache_->slot() - tile.first; trace_.is_on() && i >= 0 && i < tile.n) {
      const RowShape& rows = cache_->materialiser().rows();
      load_row(*kernels_, rows, rows.at(s.tile, size_t(i)), cache_->materialiser_scratch(thread).product);
      trace_.tensor("kv", layer, cache_->materialiser_scratch(thread).product, config_->kv_width());
    }
    attend_rows(*kernels_, *config_, cache_->ring(), layer, cache_->materialiser().rows(), s.tile, s.block.identity,
                slots, tile.n, query, s.block, &running);
  });
  splits_.merge(*kernels_, n, config_->value_width, out);
}

// ---- Absorbed
// --------------------------------------------------------------------------------------------------------

// Few tokens: threads share the heads, from absorption to output. Many: they share the tokens, in as many runs as the
// context alone says.
void Attention::attend_absorbed(int32_t layer, float* out) {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  const int32_t n = n_tiles(), n_runs = n < 2 * kRunTiles              ? 1
                                        : n / kRunTiles < kMaxSlotRuns ? n / kRunTiles
                                                                       : kMaxSlotRuns;
  if (n_runs == 1) {
    const int32_t step = (c.n_heads - 1) / team_->n_running() + 1;  // a head's result does not depend on its neighbours
    team_->run((c.n_heads - 1) / step + 1, false, [&](int32_t piece, int32_t thread) {
      const Scratch& s = scratch_[thread];
      const int32_t first = piece * step, left = c.n_heads - first, n_heads = left < step ? left : step;
      absorb_query(w, first, n_heads, s);
      RunningSoftmax running = splits_.begin_heads(piece, n_heads, thread);
      for (int32_t i = 0; i < n; ++i) attend_latents(layer, tile_at(i), first, n_heads, s, &running);
      for (int32_t h = 0; h < n_heads; ++h) {
        kernels_->shift_scale(running.out + h * running.width, 0, 1.0f / running.sum[h], c.latent_width, s.sum.x);
        expand_sum(w, first + h, s, out);
      }
    });
    return;
  }
  for (int32_t thread = 0; thread < plan_.max_threads; ++thread) scratch_[thread].is_absorbed = false;
  team_->run(n_runs, false, [&](int32_t run, int32_t thread) {
    Scratch& s = scratch_[thread];
    if (!s.is_absorbed) absorb_query(w, 0, c.n_heads, s);  // by every thread for itself: no other join
    s.is_absorbed = true;
    RunningSoftmax running = splits_.begin(run, thread);
    const int32_t last = int32_t(int64_t(n) * (run + 1) / n_runs);
    for (int32_t i = int32_t(int64_t(n) * run / n_runs); i < last; ++i)
      attend_latents(layer, tile_at(i), 0, c.n_heads, s, &running);
  });
  splits_.merge(*kernels_, n_runs, c.latent_width, merged_);
  for (int32_t h = 0; h < c.n_heads; ++h) {
    const Scratch& s = scratch_[0];
    for (int32_t j = 0; j < c.latent_width; ++j) s.sum.x[j] = merged_[h * c.latent_width + j];
    expand_sum(w, h, s, out);
  }
}

// W_UV of a head times its sum of latents, in s.sum.x.
void Attention::expand_sum(const Layer& w, int32_t head, const Scratch& s, float* out) const {
  const Config& c = *config_;
  const Activation sum = s.sum.prepare(*kernels_, c.latent_width, plan_.activations_i8);
  const int32_t row = (head * c.kv_head_width() + c.content_width) / kPanelRows;
  apply_columns(*kernels_, w.kv_b, row, row + c.value_width / kPanelRows, sum, 1, out + head * c.value_width, 0);
}

// W_UK^T q of some heads, so that scores read the latents as they are.
void Attention::absorb_query(const Layer& w, int32_t first_head, int32_t n_heads, const Scratch& s) const {
  const Config& c = *config_;
  const int32_t stride = int32_t(padded_cols(c.latent_width)), lanes = padded_lanes(n_heads);
  for (int32_t h = 0; h < n_heads; ++h) {
    const int32_t first = (first_head + h) * c.kv_head_width() / kPanelRows;
    apply_transposed(*kernels_, w.kv_b, first, first + c.content_width / kPanelRows,
                     window_.x + (first_head + h) * c.query_head_width(), s.absorbed + h * stride);
  }
  const CacheShape& shape = cache_->ring().shape();
  for (int32_t part = 0; part < shape.n_parts() && is_rounded_; ++part) {
    const int32_t at = part * shape.latent_block;
    quantize_heads(*kernels_, s.absorbed + at, stride, n_heads, shape.part_width(part), s.absorbed_q + n_heads * at,
                   s.absorbed_d + part * lanes);
  }
}

void Attention::attend_latents(int32_t layer, const Tile& tile, int32_t first_head, int32_t n_heads, const Scratch& s,
                               RunningSoftmax* running) const {
  const Config& c = *config_;
  const CacheShape& shape = cache_->ring().shape();
  const int32_t* slots = all_slots_ + tile.first;
  const int32_t stride = int32_t(padded_cols(c.latent_width));
  const float* rho = shape.n_rho > 0 ? s.rho : nullptr;
  if (rho != nullptr) cache_->ring().gather_scalars(layer, slots, tile.n, shape.rho_at(), 1, s.rho, 1);
  const auto latents = [&](int32_t part) {
    return latent_rows(*kernels_, cache_->ring(), layer, slots, tile.n, part, n_heads, plan_.cache_i8, rho,
                       s.row_scales);
  };
  s.block.clear_scores(tile.n, running->lanes);
  for (int32_t part = 0; part < shape.n_parts(); ++part) {
    const int32_t at = part * shape.latent_block;
    const HeadQuery query{s.absorbed + at, stride, is_rounded_ ? s.absorbed_q + n_heads * at : nullptr,
                          s.absorbed_d + part * running->lanes};
    add_scores(*kernels_, query, latents(part), n_heads, tile.n, s.block.heads, s.block.scores);
  }
  const RotatedQuery& rotated = query_of(tile);
  for (int32_t h = 0; h < n_heads; ++h) s.rope_d[h] = rotated.rope_d[first_head + h];
  const int32_t width = c.query_head_width();
  const HeadQuery rope_query{rotated.x + first_head * width + c.content_width, width,
                             is_rounded_ ? rotated.rope + first_head * int32_t(padded_cols(c.rope_width)) : nullptr,
                             s.rope_d};
  HeadRows rope = rope_rows(cache_->ring(), c, layer, slots, tile.n, plan_.cache_i8, s.block.rope_scales);
  rope.heads_per_kv = n_heads;
  add_scores(*kernels_, rope_query, rope, n_heads, tile.n, s.block.heads, s.block.scores);
  running->weigh(*kernels_, tile.n, s.block.scores);
  for (int32_t part = 0; part < shape.n_parts(); ++part)
    add_sums(*kernels_, s.block.scores, latents(part), n_heads, tile.n, s.block.heads,
             running->out + part * shape.latent_block, running->width);
}

}  // namespace pith::internal
