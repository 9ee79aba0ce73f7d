#include "attention.h"

namespace pith {

void Attention::lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  team_ = &team;
  plan_ = plan;
  is_gated_ = config.gate == Gate::up;
  is_rounded_ = plan.cache_i8 && plan.activations_i8;
  ring_.lay_out(config, plan, arena);
  expander_.lay_out(config, plan, weights, ring_);
  if (is_gated_) {
    const int32_t n_rows = pool_rows(config, plan);
    pool_.lay_out(expander_.rows(), config.n_layers, n_rows, arena);
    groups_.lay_out(config.vocab_size, plan.capacity, n_rows, plan.form == AttentionForm::grouped, arena);
    if (!arena->is_measuring()) groups_.clear();
  }
  if (plan.form == AttentionForm::grouped)
    grouped_.lay_out(config, plan, weights, ring_, groups_, pool_, expander_, arena);
  const int32_t tiles =
      (plan.n_keep + kTileSlots - 1) / kTileSlots + (plan.capacity - plan.n_keep + kTileSlots - 1) / kTileSlots;
  const bool is_absorbed = plan.form == AttentionForm::absorbed;
  const int32_t head_runs = config.n_heads < plan.max_threads ? config.n_heads : plan.max_threads;
  const int32_t max_pieces = plan.form == AttentionForm::grouped ? GroupedAttention::kMaxPieces
                             : is_absorbed                       ? (head_runs > kMaxSlotRuns ? head_runs : kMaxSlotRuns)
                                                                 : tiles;
  pieces_.lay_out(max_pieces, plan.max_threads, config.n_heads,
                  int32_t(padded_cols(is_absorbed ? config.latent_width : config.value_width)), arena);
  merged_ = arena->take<float>(is_absorbed ? size_t(config.n_heads) * size_t(config.latent_width) : 0);
  replaced_ = arena->take<uint8_t>(size_t(config.n_layers) * ring_.slot_bytes());
  all_slots_ = arena->take<int32_t>(size_t(plan.capacity));
  for (int32_t slot = 0; slot < plan.capacity && all_slots_ != nullptr; ++slot) all_slots_[slot] = slot;
  query_latent_.lay_out(config.query_latent_width, arena);
  for (int32_t i = 0; i < kMaxConversions && is_gated_; ++i) {
    gate_inputs_[i].lay_out(config.gate_width, arena);
    gates_[i] = arena->take<float>(size_t(padded_rows(config.kv_width())));
  }
  const size_t kv = config.is_mha() ? size_t(padded_rows(config.n_kv_heads * config.value_width)) : 0;
  latent_ = arena->take<float>(config.is_mha() ? 0 : size_t(padded_rows(config.latent_width + config.rope_width)));
  keys_ = arena->take<float>(kv);
  values_ = arena->take<float>(kv);
  query_ = arena->take<float>(size_t(padded_rows(config.query_width())));
  lay_out_query(&window_, arena);
  lay_out_query(&pinned_, arena);
  angles_ = arena->take<float>(2 * size_t(config.rope_width));
  lay_out_scratch(arena);
}

void Attention::lay_out_query(RotatedQuery* query, Arena* arena) const {
  const Config& c = *config_;
  const size_t heads = size_t(c.n_heads), lanes = size_t(padded_lanes(c.n_heads));
  const size_t rope = size_t(padded_cols(c.rope_width)), content = size_t(padded_cols(c.content_width));
  query->x = arena->take<float>(size_t(c.query_width()));
  query->content = arena->take<int8_t>(heads * content);
  query->rope = arena->take<int8_t>(heads * rope);
  query->content_d = arena->take_zeros<float>(lanes);
  query->rope_d = arena->take_zeros<float>(lanes);
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
    if (!c.is_mha()) expander_.lay_out_scratch(&s.expansion, arena);
    if (plan_.form == AttentionForm::materialise || plan_.form == AttentionForm::grouped)
      s.tile = take_rows(expander_.rows(), kTileSlots, arena);
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

void Attention::reset() {
  if (is_gated_) groups_.clear();
}

void Attention::begin_token(uint64_t position, int32_t id) {
  position_ = position;
  id_ = id;
  slot_ = ring_.slot_of(position);
  if (is_gated_) groups_.replace(slot_, id);
  if (plan_.form == AttentionForm::grouped) grouped_.schedule();
  const int32_t n = config_->rope_width / 2;
  // A pinned token keeps the distance that it had when the ring became full: the longest that it ever shows.
  const uint64_t last = uint64_t(plan_.capacity) - 1, pinned = position < last ? position : last;
  kernels_->rope_angles(weights_->rope_turns, position, n, angles_, angles_ + n);
  kernels_->rope_angles(weights_->rope_turns, pinned, n, angles_ + 2 * n, angles_ + 3 * n);
}

void Attention::run(int32_t layer, Activation x, float* out) {
  ring_.read_slot(layer, slot_, replaced_ + size_t(layer) * ring_.slot_bytes());
  if (config_->is_mha()) project_mha(layer, x);
  else project(layer, x);
  const uint64_t start = plan_.clock != nullptr ? plan_.clock(plan_.clock_context) : 0;
  trace_.tensor("q", layer, window_.x, config_->query_width());
  if (!config_->is_mha()) cache_latent(layer);
  attend(layer, out);
  if (plan_.clock != nullptr) nanoseconds_ += plan_.clock(plan_.clock_context) - start;
}

// ---- Projection and cache
// --------------------------------------------------------------------------------------------

// The query, what the cache keeps of the token, and the gates that no row holds: all from inputs that are there.
void Attention::project(int32_t layer, Activation x) {
  const Layer& w = weights_->layers[layer];
  const bool is_low_rank = config_->query_latent_width > 0;
  Product products[2 + kMaxConversions] = {{is_low_rank ? &w.q_a : &w.q, x, is_low_rank ? query_latent_.x : query_},
                                           {&w.kv_a, x, latent_}};
  size_t n = 2;
  for (int32_t i = 0; is_gated_ && i < groups_.n_conversions(); ++i) {
    const Conversion& conversion = groups_.conversion(i);
    if (conversion.gate_from >= 0) continue;
    products[n++] = {&w.gate_up, expander_.gate_input(layer, conversion.id, gate_inputs_[i]), gates_[i]};
  }
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
  const int32_t n = config_->rope_width / 2;
  for (int32_t head = 0; head < config_->n_kv_heads; ++head)
    rotate(angles_, angles_ + n, keys_ + head * config_->value_width);
  ring_.store(layer, slot_, keys_, values_);
}

void Attention::rotate(const float* cosine, const float* sine, float* x) const {
  const int32_t n = config_->rope_width / 2;
  if (config_->rope_interleaved) kernels_->rope_pairs(cosine, sine, n, x);
  else kernels_->rope_halves(cosine, sine, n, x);
}

void Attention::rotate_query() {
  const Config& c = *config_;
  const int32_t n = c.rope_width / 2, width = c.query_head_width();
  const RotatedQuery* const queries[] = {&window_, &pinned_};
  for (int32_t i = 0; i < (plan_.n_keep > 0 ? 2 : 1); ++i) {
    const RotatedQuery& q = *queries[i];
    for (int32_t j = 0; j < c.query_width(); ++j) q.x[j] = query_[j];
    for (int32_t head = 0; head < c.n_heads; ++head)
      rotate(angles_ + 2 * i * n, angles_ + (2 * i + 1) * n, q.x + head * width + c.content_width);
    if (!is_rounded_) continue;
    if (!c.is_mha()) quantize_heads(*kernels_, q.x, width, c.n_heads, c.content_width, q.content, q.content_d);
    quantize_heads(*kernels_, q.x + c.content_width, width, c.n_heads, c.rope_width, q.rope, q.rope_d);
  }
}

QueryParts Attention::parts_of(const RotatedQuery& q) const {
  const int32_t width = config_->query_head_width();
  const HeadQuery rope{q.x + config_->content_width, width, is_rounded_ ? q.rope : nullptr, q.rope_d};
  if (config_->is_mha()) return {rope, {}};
  return {{q.x, width, is_rounded_ ? q.content : nullptr, q.content_d}, rope};
}

void Attention::cache_latent(int32_t layer) {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  const int32_t n = c.rope_width / 2;
  float *latent = latent_, *rope = latent_ + c.latent_width;
  if (c.kv_norm == KvNorm::rms) kernels_->rmsnorm(latent, w.kv_a_norm, c.kv_norm_epsilon, c.latent_width, latent);
  if (c.gate == Gate::latent) gate_latent(layer, latent);
  rotate(angles_, angles_ + n, rope);
  const float scale = ring_.store(layer, slot_, latent, rope), rho[2] = {scale, scale};
  trace_.tensor("c_scale", layer, &scale, 1);
  if (is_gated_) convert_groups(layer, scale);
  else ring_.store_rho(layer, slot_, rho);
}

// c' = norm_g(c * (W_UE E[id])), cached in place of c.
void Attention::gate_latent(int32_t layer, float* latent) {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  const Expander::Scratch& s = scratch_[0].expansion;
  expander_.compute_gate(layer, id_, s, s.gate);
  trace_.tensor("gate", layer, s.gate, c.latent_width);
  kernels_->multiply(latent, s.gate, c.latent_width, latent);
  if (c.gate_norm == GateNorm::rms) {
    kernels_->rmsnorm(latent, w.gate_norm, c.gate_norm_epsilon, c.latent_width, latent);
    if (w.gate_norm_bias != nullptr) kernels_->add(latent, w.gate_norm_bias, c.latent_width, latent);
  } else if (c.gate_norm != GateNorm::none) {
    kernels_->layernorm(latent, w.gate_norm, w.gate_norm_bias, c.gate_norm_epsilon, c.latent_width, latent);
  }
}

// Carries out what the token changed in the pool, and stores its scalars of norm_g, from the latent as it was cached,
// so that every later reading agrees. `scale` is the part of the latent's scale that rho takes.
void Attention::convert_groups(int32_t layer, float scale) {
  const Expander::Scratch& s = scratch_[0].expansion;
  for (int32_t i = 0; i < groups_.n_conversions(); ++i) {
    const Conversion& conversion = groups_.conversion(i);
    float* gate = gates_[i];
    if (conversion.gate_from >= 0) load_row(*kernels_, pool_.shape(), pool_.row(layer, conversion.gate_from), gate);
    else if (conversion.gate_to < 0) expander_.round_gate(gate, s);
    if (conversion.gate_to >= 0) expander_.store_gate(layer, gate, s, pool_.row(layer, conversion.gate_to));
    if (conversion.is_current) {
      trace_.tensor("gate", layer, gate, config_->kv_width());
      float rho[2];
      expander_.expand(layer, &slot_, 1, s);
      expander_.norm(s.up, gate, scale, s, rho);
      ring_.store_rho(layer, slot_, rho);
    }
    for (int32_t j = 0; j < conversion.n_keys; ++j) {
      const KeyWrite& write = groups_.key_write(conversion.first_key + j);
      expander_.expand(layer, &write.slot, 1, s);
      expander_.finish(layer, write.slot, s.up, gate, s, pool_.row(layer, write.row));
    }
  }
}

// ---- Taking tokens back, and whole states
// -----------------------------------------------------------------------------

// What the pool's row holds by right, from the cached latents alone.
void Attention::rebuild_row(int32_t layer, int32_t row, const Expander::Scratch& s) const {
  const int32_t slot = groups_.row_slot(row);
  if (slot == kFreeRow) return;
  const int32_t id = slot >= 0 ? groups_.id(slot) : groups_.row_gate_id(row);
  expander_.compute_gate(layer, id, s, s.gate);
  if (slot < 0) return expander_.store_gate(layer, s.gate, s, pool_.row(layer, row));
  expander_.round_gate(s.gate, s);
  expander_.expand(layer, &slot, 1, s);
  expander_.finish(layer, slot, s.up, s.gate, s, pool_.row(layer, row));
}

void Attention::roll_back(int32_t n_layers) {
  for (int32_t layer = 0; layer < n_layers; ++layer)
    ring_.write_slot(layer, slot_, replaced_ + size_t(layer) * ring_.slot_bytes());
  if (!is_gated_) return;
  int32_t rows[kMaxConversions + TokenGroups::kMaxKeyWrites], n_rows = 0;
  for (int32_t i = 0; i < groups_.n_conversions(); ++i) {
    const Conversion& conversion = groups_.conversion(i);
    if (conversion.gate_to >= 0) rows[n_rows++] = conversion.gate_to;
    for (int32_t j = 0; j < conversion.n_keys; ++j) rows[n_rows++] = groups_.key_write(conversion.first_key + j).row;
  }
  groups_.undo();
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    for (int32_t i = 0; i < n_rows; ++i) rebuild_row(layer, rows[i], scratch_[0].expansion);
  }
}

void Attention::forget(uint64_t position) {
  if (is_gated_) groups_.remove(ring_.slot_of(position));
}

void Attention::copy_from(const Attention& other, uint64_t n_tokens) {
  ring_.copy_from(other.ring_, ring_.n_filled(n_tokens));
  if (!is_gated_) return;
  groups_.copy_from(other.groups_);
  pool_.copy_from(other.pool_);
}

size_t Attention::max_state_bytes() const {
  return size_t(config_->n_layers) * size_t(plan_.capacity) * ring_.slot_bytes() +
         (is_gated_ ? groups_.state_bytes() : 0);
}

size_t Attention::save(uint64_t n_tokens, uint8_t* out) const {
  const uint8_t* first = out;
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int32_t slot = 0; slot < ring_.n_filled(n_tokens); ++slot, out += ring_.slot_bytes())
      ring_.read_slot(layer, slot, out);
  }
  if (is_gated_) out += groups_.save(out);
  return size_t(out - first);
}

bool Attention::load(uint64_t n_tokens, const uint8_t* in, size_t n) {
  reset();
  const int32_t filled = ring_.n_filled(n_tokens);
  const size_t latents = size_t(config_->n_layers) * size_t(filled) * ring_.slot_bytes();
  if (n < latents || (!is_gated_ && n != latents)) return false;
  if (is_gated_) {
    if (!groups_.load(in + latents, n - latents)) return false;
    for (int32_t slot = 0; slot < plan_.capacity; ++slot) {
      if (groups_.is_used(slot) == (slot < filled)) continue;
      reset();
      return false;
    }
  }
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int32_t slot = 0; slot < filled; ++slot, in += ring_.slot_bytes()) {
      if (!ring_.is_slot(in)) {
        reset();
        return false;
      }
      ring_.write_slot(layer, slot, in);
    }
  }
  if (!is_gated_) return true;
  team_->run(groups_.n_rows(), false, [&](int32_t row, int32_t thread) {
    for (int32_t layer = 0; layer < config_->n_layers; ++layer) rebuild_row(layer, row, scratch_[thread].expansion);
  });
  return true;
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
  grouped_.begin_layer(layer, parts_of(window_), parts_of(pinned_));
  const int32_t n_pieces = grouped_.n_pieces();
  team_->run(n_pieces, false, [&](int32_t piece, int32_t thread) {
    RunningSoftmax running = pieces_.begin(piece, thread);
    const Scratch& s = scratch_[thread];
    grouped_.run_piece(piece, s.block, s.expansion, s.tile, thread, &running);
  });
  pieces_.merge(*kernels_, n_pieces, config_->value_width, out);
}

// Tiles of at most 64 slots: of the pinned ones, then of the window.
int32_t Attention::n_tiles() const {
  const int32_t filled = ring_.n_filled(position_ + 1), pinned = filled < plan_.n_keep ? filled : plan_.n_keep;
  return (pinned + kTileSlots - 1) / kTileSlots + (filled - pinned + kTileSlots - 1) / kTileSlots;
}

Attention::Tile Attention::tile_at(int32_t index) const {
  const int32_t filled = ring_.n_filled(position_ + 1), pinned = filled < plan_.n_keep ? filled : plan_.n_keep;
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
    RunningSoftmax running = pieces_.begin(index, thread);
    const Scratch& s = scratch_[thread];
    if (config_->is_mha()) return attend_cached_heads(layer, tile, s, &running);
    const int32_t* slots = all_slots_ + tile.first;
    expander_.finish_tokens(layer, slots, tile.n, is_gated_ ? &groups_ : nullptr, &pool_, s.expansion, s.tile);
    if (const int32_t i = slot_ - tile.first; trace_.is_on() && i >= 0 && i < tile.n) {
      const RowShape& rows = expander_.rows();
      const Row row{s.tile.first + rows.first_bytes * size_t(i), s.tile.second + rows.second_bytes * size_t(i)};
      load_row(*kernels_, rows, row, s.expansion.product);
      trace_.tensor("kv", layer, s.expansion.product, config_->kv_width());
    }
    attend_rows(*kernels_, *config_, ring_, layer, expander_.rows(), s.tile, s.block.identity, slots, tile.n,
                parts_of(tile.is_pinned ? pinned_ : window_), s.block, &running);
  });
  pieces_.merge(*kernels_, n, config_->value_width, out);
}

void Attention::attend_cached_heads(int32_t layer, const Tile& tile, const Scratch& s, RunningSoftmax* running) const {
  const Config& c = *config_;
  const CacheShape& shape = ring_.shape();
  const BlockScratch& b = s.block;
  const int32_t* slots = all_slots_ + tile.first;
  const bool is_i8 = plan_.cache_i8;
  const int32_t share = c.n_heads / c.n_kv_heads;
  for (int32_t i = 0; i < 2 && is_i8; ++i) {
    float* scales = i == 0 ? b.key_scales : b.value_scales;
    ring_.gather_scalars(layer, slots, tile.n, i == 0 ? 0 : shape.second_scale_at(), c.n_kv_heads, scales,
                         running->lanes);
    for (int32_t t = 0; t < tile.n && share > 1; ++t) {  // from a scale per KV head to one per head, last first
      for (int32_t h = c.n_heads; h-- > 0;) scales[t * running->lanes + h] = scales[t * running->lanes + h / share];
    }
  }
  const HeadRows keys{.first = ring_.first_of(layer),
                      .stride = ring_.first_stride(),
                      .index = slots,
                      .width = c.value_width,
                      .part_width = is_i8 ? shape.stored_block : c.value_width,
                      .heads_per_part = share,
                      .is_i8 = is_i8,
                      .scales = is_i8 ? b.key_scales : nullptr};
  HeadRows values = keys;
  values.first = ring_.second_of(layer);
  values.stride = ring_.second_stride();
  values.scales = is_i8 ? b.value_scales : nullptr;
  attend_block(*kernels_, parts_of(tile.is_pinned ? pinned_ : window_), keys, nullptr, values, tile.n, b, running);
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
      RunningSoftmax running = pieces_.begin_heads(piece, n_heads, thread);
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
    RunningSoftmax running = pieces_.begin(run, thread);
    const int32_t last = int32_t(int64_t(n) * (run + 1) / n_runs);
    for (int32_t i = int32_t(int64_t(n) * run / n_runs); i < last; ++i)
      attend_latents(layer, tile_at(i), 0, c.n_heads, s, &running);
  });
  pieces_.merge(*kernels_, n_runs, c.latent_width, merged_);
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
  const CacheShape& shape = ring_.shape();
  for (int32_t part = 0; part < shape.n_parts() && is_rounded_; ++part) {
    const int32_t at = part * shape.first_block;
    quantize_heads(*kernels_, s.absorbed + at, stride, n_heads, shape.part_width(part), s.absorbed_q + n_heads * at,
                   s.absorbed_d + part * lanes);
  }
}

void Attention::attend_latents(int32_t layer, const Tile& tile, int32_t first_head, int32_t n_heads, const Scratch& s,
                               RunningSoftmax* running) const {
  const Config& c = *config_;
  const CacheShape& shape = ring_.shape();
  const int32_t* slots = all_slots_ + tile.first;
  const int32_t stride = int32_t(padded_cols(c.latent_width));
  const float* rho = shape.n_rho > 0 ? s.rho : nullptr;
  if (rho != nullptr) ring_.gather_scalars(layer, slots, tile.n, shape.rho_at(), 1, s.rho, 1);
  const auto latents = [&](int32_t part) {
    return latent_rows(*kernels_, ring_, layer, slots, tile.n, part, n_heads, plan_.cache_i8, rho, s.row_scales);
  };
  s.block.clear_scores(tile.n, running->lanes);
  for (int32_t part = 0; part < shape.n_parts(); ++part) {
    const int32_t at = part * shape.first_block;
    const HeadQuery query{s.absorbed + at, stride, is_rounded_ ? s.absorbed_q + n_heads * at : nullptr,
                          s.absorbed_d + part * running->lanes};
    add_scores(*kernels_, query, latents(part), n_heads, tile.n, s.block.heads, s.block.scores);
  }
  const RotatedQuery& rotated = tile.is_pinned ? pinned_ : window_;
  for (int32_t h = 0; h < n_heads; ++h) s.rope_d[h] = rotated.rope_d[first_head + h];
  const int32_t width = c.query_head_width();
  const HeadQuery rope_query{rotated.x + first_head * width + c.content_width, width,
                             is_rounded_ ? rotated.rope + first_head * int32_t(padded_cols(c.rope_width)) : nullptr,
                             s.rope_d};
  HeadRows rope = rope_rows(ring_, c, layer, slots, tile.n, plan_.cache_i8, s.block.rope_scales);
  rope.heads_per_part = n_heads;
  add_scores(*kernels_, rope_query, rope, n_heads, tile.n, s.block.heads, s.block.scores);
  running->weigh(*kernels_, tile.n, s.block.scores);
  for (int32_t part = 0; part < shape.n_parts(); ++part)
    add_sums(*kernels_, s.block.scores, latents(part), n_heads, tile.n, s.block.heads,
             running->out + part * shape.first_block, running->width);
}

}  // namespace pith
