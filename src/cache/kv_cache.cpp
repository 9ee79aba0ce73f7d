#include "cache/kv_cache.h"

#include <algorithm>

namespace pith::internal {

void KvCache::lay_out(const Setup& setup, Arena* arena) {
  refer_to(setup);
  const Config& config = setup.config;
  const Plan& plan = setup.plan;
  is_gated_ = config.gate == Gate::up;
  ring_.lay_out(config, plan, arena);
  materialiser_.lay_out(setup, &ring_);
  replaced_ = arena->take<uint8_t>(size_t(config.n_layers) * size_t(max_steps(config, plan)) * ring_.slot_bytes());
  if (!config.is_mha())
    materialiser_scratch_ = take_scratch<Materialiser::Scratch>(
        arena, [&](Materialiser::Scratch* s) { materialiser_.lay_out_scratch(s, arena); });
  if (!is_gated_) return;
  const int32_t n_rows = pool_rows(config, plan);
  pool_.lay_out(materialiser_.rows(), config.n_layers, n_rows, arena);
  groups_.lay_out(config.vocab_size, plan.capacity, n_rows,
                  plan.form == AttentionForm::grouped ? RowUse::gates_and_keys : RowUse::gates, arena);
  if (!arena->is_measuring()) groups_.clear();
  for (int32_t i = 0; i < kMaxConversions; ++i) {
    gate_inputs_[i].lay_out(1, config.gate_width, arena);
    gates_[i] = arena->take<float>(size_t(padded_rows(config.kv_width())));
  }
  stale_ = arena->take<StaleRow>(size_t(n_rows));
  is_stale_ = arena->take_zeros<uint8_t>(size_t(n_rows));
  run_ends_ = arena->take<int32_t>(size_t(n_rows));
}

void KvCache::reset() {
  if (is_gated_) groups_.clear();
}

CachedToken KvCache::token(int32_t slot) const {
  if (!is_gated_) return {slot, -1, -1, CachedToken::kIsNormed};
  return {slot, groups_.id(slot), groups_.group_gate_row(groups_.group_of(slot)), CachedToken::kIsNormed};
}

CachedToken KvCache::chunk_token(int32_t token) const {
  if (!is_gated_) return {slot_of(token), -1, -1, CachedToken::kIsNormed};
  const int32_t id = chunk_.ids[token];
  return {slot_of(token), id, groups_.gate_row_of(id), CachedToken::kIsNormed};
}

// ---- A chunk ----

void KvCache::begin(const Chunk& chunk) {
  chunk_ = chunk;
  if (is_gated_ && !chunk.is_prompt) groups_.replace(slot_of(0), chunk.ids[0]);
}

size_t KvCache::begin_layer(int32_t layer, Product* products) {
  if (chunk_.is_prompt) return 0;
  for (int32_t i = 0; i < chunk_.n; ++i) ring_.read_slot(layer, slot_of(i), replaced(layer, i));
  size_t n = 0;
  for (int32_t i = 0; is_gated_ && i < groups_.n_conversions(); ++i) {
    const Conversion& conversion = groups_.conversion(i);
    if (conversion.gate_from >= 0) continue;
    products[n++] = {&materialiser_.gate_matrix(layer), materialiser_.gate_input(layer, conversion.id, gate_inputs_[i]),
                     gates_[i]};
  }
  return n;
}

float KvCache::store(int32_t layer, int32_t token, float* latent, const Angles& angles, int32_t thread) {
  const Config& c = *config_;
  const int32_t slot = slot_of(token);
  float* rope = latent + c.latent_width;
  if (c.kv_norm == KvNorm::rms)
    kernels_->rmsnorm(latent, weights_->layers[layer].kv_a_norm, c.kv_norm_epsilon, c.latent_width, latent);
  if (c.gate == Gate::latent) gate_latent(layer, token, latent, materialiser_scratch_[thread]);
  angles.rotate(*kernels_, Region::window, rope);
  const float scale = ring_.store(layer, slot, latent, rope), rho[2] = {scale, scale};  // the part that rho takes
  trace_.tensor("c_scale", layer, token, &scale, 1);
  if (!is_gated_) ring_.store_rho(layer, slot, rho);  // of a gated token: once its keys are up-projected
  if (!is_gated_ || !chunk_.is_prompt) {
    if (is_gated_) convert_groups(layer, scale);
    return CachedToken::kIsNormed;
  }
  return scale;
}

void KvCache::store_heads(int32_t layer, int32_t token, float* keys, const float* values, const Angles& angles) {
  for (int32_t head = 0; head < config_->n_kv_heads; ++head)
    angles.rotate(*kernels_, Region::window, keys + head * config_->value_width);
  ring_.store(layer, slot_of(token), keys, values);
}

// c' = norm_g(c * (W_UE E[id])), cached in place of c.
void KvCache::gate_latent(int32_t layer, int32_t token, float* latent, const Materialiser::Scratch& s) const {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  materialiser_.compute_gate(layer, chunk_.ids[token], s, s.gate);
  trace_.tensor("gate", layer, token, s.gate, c.latent_width);
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
void KvCache::convert_groups(int32_t layer, float scale) {
  const Materialiser::Scratch& s = materialiser_scratch_[0];
  const int32_t slot = slot_of(0);
  for (int32_t i = 0; i < groups_.n_conversions(); ++i) {
    const Conversion& conversion = groups_.conversion(i);
    float* gate = gates_[i];
    if (conversion.gate_from >= 0) load_row(*kernels_, pool_.shape(), pool_.row(layer, conversion.gate_from), gate);
    else if (conversion.gate_to < 0) materialiser_.round_gate(gate, s);
    if (conversion.gate_to >= 0) materialiser_.store_gate(gate, pool_.row(layer, conversion.gate_to));
    if (conversion.is_current) {
      trace_.tensor("gate", layer, 0, gate, config_->kv_width());
      materialiser_.up_project(layer, &slot, 1, s);
      materialiser_.store_norm(layer, slot, s.up, gate, scale, s);
    }
    for (int32_t j = 0; j < conversion.n_keys; ++j) {
      const KeyWrite& write = groups_.key_write(conversion.first_key + j);
      materialiser_.up_project(layer, &write.slot, 1, s);
      materialiser_.materialise(layer, write.slot, s.up, gate, s, pool_.row(layer, write.row));
    }
  }
}

void KvCache::commit() {
  if (!chunk_.is_prompt) return;
  const auto slot_for = [&](int32_t i) { return ring_.slot_of(chunk_.position + uint64_t(i)); };
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int32_t i = 0; i < chunk_.n; ++i) ring_.move(layer, ring_.staged_slot(i), slot_for(i));
  }
  if (!is_gated_) return;
  for (int32_t i = 0; i < chunk_.n; ++i) {
    groups_.replace(slot_for(i), chunk_.ids[i]);
    mark_stale();
  }
  rebuild(config_->n_layers);
}

void KvCache::roll_back(int32_t n_layers) {
  if (chunk_.is_prompt) return;  // nothing but the slots of the chunk was written
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    for (int32_t i = 0; i < chunk_.n; ++i) ring_.write_slot(layer, slot_of(i), replaced(layer, i));
  }
  if (!is_gated_) return;
  mark_stale();
  groups_.undo();
  rebuild(n_layers);
}

// ---- Rows of the pool, made again ----

void KvCache::add_stale(int32_t row) {
  if (is_stale_[row] != 0) return;
  is_stale_[row] = 1;
  stale_[n_stale_++].row = row;
}

// The rows that the last replace() writes.
void KvCache::mark_stale() {
  for (int32_t i = 0; i < groups_.n_conversions(); ++i) {
    const Conversion& conversion = groups_.conversion(i);
    if (conversion.gate_to >= 0) add_stale(conversion.gate_to);
    for (int32_t j = 0; j < conversion.n_keys; ++j) add_stale(groups_.key_write(conversion.first_key + j).row);
  }
}

// Gives the stale rows of the first n_layers layers what they hold by right, from the cached latents alone. Rows of one
// id are neighbours then, and many gates and keys become matrix products.
void KvCache::rebuild(int32_t n_layers) {
  int32_t n = 0;
  for (int32_t i = 0; i < n_stale_; ++i) {
    const int32_t row = stale_[i].row, slot = groups_.row_slot(row);
    is_stale_[row] = 0;
    if (slot != kFreeRow) stale_[n++] = {row, slot, slot >= 0 ? groups_.id(slot) : groups_.row_gate_id(row)};
  }
  n_stale_ = 0;
  std::sort(stale_, stale_ + n,
            [](const StaleRow& a, const StaleRow& b) { return a.id != b.id ? a.id < b.id : a.row < b.row; });
  int32_t n_runs = 0, first = 0, n_ids = 0;
  for (int32_t i = 0; i < n; ++i) {
    const bool is_new = i == first || stale_[i].id != stale_[i - 1].id;
    if (i > first && (i - first == Materialiser::kMaxTokens || (is_new && n_ids == Materialiser::kMaxGates))) {
      run_ends_[n_runs++] = first = i;
      n_ids = 0;
    }
    n_ids += is_new || i == first;
  }
  if (n == 0) return;
  run_ends_[n_runs++] = n;
  team_->run(n_layers * n_runs, [&](int32_t task, int32_t thread) {
    const int32_t run = task % n_runs, begin = run == 0 ? 0 : run_ends_[run - 1];
    rebuild_run(task / n_runs, stale_ + begin, run_ends_[run] - begin, materialiser_scratch_[thread]);
  });
}

// n <= kMaxTokens rows of at most kMaxGates ids.
void KvCache::rebuild_run(int32_t layer, const StaleRow* rows, int32_t n, const Materialiser::Scratch& s) const {
  int32_t ids[Materialiser::kMaxGates] = {}, slots[Materialiser::kMaxTokens] = {}, n_ids = 0, n_slots = 0;
  for (int32_t i = 0; i < n; ++i) {
    if (i == 0 || rows[i].id != rows[i - 1].id) ids[n_ids++] = rows[i].id;
    if (rows[i].slot >= 0) slots[n_slots++] = rows[i].slot;
  }
  materialiser_.compute_gates(layer, ids, n_ids, s);
  if (n_slots > 0) materialiser_.up_project(layer, slots, n_slots, s);
  const int32_t stride = materialiser_.up_stride();
  float* gate = s.gates;
  const float* up = s.up;
  for (int32_t i = 0; i < n; ++i) {
    const bool is_first = i == 0 || rows[i].id != rows[i - 1].id;
    if (i > 0 && is_first) gate += stride;
    const Row row = pool_.row(layer, rows[i].row);
    if (rows[i].slot < 0) {
      materialiser_.store_gate(gate, row);  // the only row of its id
      continue;
    }
    if (is_first) materialiser_.round_gate(gate, s);
    materialiser_.materialise(layer, rows[i].slot, up, gate, s, row);
    up += stride;
  }
}

// ---- All tokens ----

void KvCache::forget(uint64_t position) {
  if (is_gated_) groups_.remove(ring_.slot_of(position));
}

void KvCache::copy_from(const KvCache& other, uint64_t n_tokens) {
  ring_.copy_from(other.ring_, ring_.n_filled(n_tokens));
  if (!is_gated_) return;
  groups_.copy_from(other.groups_);
  pool_.copy_from(other.pool_);
}

size_t KvCache::max_state_bytes() const {
  return size_t(config_->n_layers) * size_t(plan_.capacity) * ring_.slot_bytes() +
         (is_gated_ ? groups_.state_bytes() : 0);
}

size_t KvCache::save(uint64_t n_tokens, uint8_t* out) const {
  const uint8_t* first = out;
  for (int32_t layer = 0; layer < config_->n_layers; ++layer) {
    for (int32_t slot = 0; slot < ring_.n_filled(n_tokens); ++slot, out += ring_.slot_bytes())
      ring_.read_slot(layer, slot, out);
  }
  if (is_gated_) out += groups_.save(out);
  return size_t(out - first);
}

bool KvCache::load(uint64_t n_tokens, const uint8_t* in, size_t n) {
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
  for (int32_t row = 0; row < groups_.n_rows(); ++row) add_stale(row);
  rebuild(config_->n_layers);
  return true;
}

}  // namespace pith::internal
