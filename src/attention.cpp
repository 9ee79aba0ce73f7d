#include "attention.h"

namespace pith {

int32_t Attention::key_row_width() const {
  switch (plan_.form) {
    case AttentionForm::materialise: return int32_t(padded_rows(config_->kv_width()));
    case AttentionForm::absorbed: return config_->latent_width;
    case AttentionForm::mha: break;
  }
  return config_->n_kv_heads * config_->value_width;
}

int32_t Attention::partial_value_width() const {
  return plan_.form == AttentionForm::absorbed ? config_->latent_width : config_->value_width;
}

void Attention::lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  team_ = &team;
  plan_ = plan;
  ring_.lay_out(config, plan, arena);
  const size_t query = size_t(padded_rows(config.query_width()));
  const size_t kv = config.is_mha() ? 2 * size_t(padded_rows(config.n_kv_heads * config.value_width))
                                    : size_t(padded_rows(config.latent_width + config.rope_width));
  query_latent_.lay_out(config.query_latent_width, arena);
  kv_ = arena->take<float>(kv);
  query_ = arena->take<float>(query);
  pinned_query_ = arena->take<float>(query);
  absorbed_ = arena->take<float>(
      plan.form == AttentionForm::absorbed ? size_t(config.n_heads) * size_t(padded_cols(config.latent_width)) : 0);
  partials_ = arena->take<float>(size_t(plan.n_tiles()) * size_t(config.n_heads) *
                                 size_t(partial_width(partial_value_width())));
  angles_ = arena->take<float>(2 * size_t(config.rope_width));
  lay_out_scratch(arena);
}

void Attention::lay_out_scratch(Arena* arena) {
  const Config& c = *config_;
  scratch_ = arena->take<Scratch>(size_t(plan_.max_threads));
  for (int32_t thread = 0; thread < plan_.max_threads; ++thread) {
    Scratch s;
    s.latent.lay_out(c.latent_width, arena);
    s.gate_input.lay_out(c.gate_width, arena);
    s.gate = arena->take<float>(c.gate == Gate::none ? 0 : size_t(padded_rows(c.gate_output_width())));
    s.up = arena->take<float>(c.is_mha() ? 0 : size_t(padded_rows(c.kv_width())));
    s.keys = arena->take<float>(kTileSlots * size_t(key_row_width()));
    s.values = arena->take<float>(c.is_mha() ? kTileSlots * size_t(key_row_width()) : 0);
    s.rope = arena->take<float>(c.is_mha() ? 0 : kTileSlots * size_t(c.rope_width));
    s.scores = arena->take<float>(kTileSlots);
    s.weights = arena->take<float>(size_t(plan_.n_tiles()));
    if (!arena->is_measuring()) scratch_[thread] = s;
  }
}

void Attention::begin_token(uint64_t position, int32_t id) {
  position_ = position;
  id_ = id;
  slot_ = ring_.slot_of(position);
  ring_.set_id(slot_, id);
  const int32_t n = config_->rope_width / 2;
  // A pinned token keeps the distance that it had when the ring became full: the longest that it ever shows.
  const uint64_t last = uint64_t(plan_.capacity) - 1, pinned = position < last ? position : last;
  kernels_->rope_angles(weights_->rope_turns, position, n, angles_, angles_ + n);
  kernels_->rope_angles(weights_->rope_turns, pinned, n, angles_ + 2 * n, angles_ + 3 * n);
}

void Attention::run(int32_t layer, Activation x, float* out) {
  const Layer& w = weights_->layers[layer];
  if (config_->is_mha()) project_mha(layer, x);
  else project_latent(layer, x);
  const uint64_t start = plan_.clock != nullptr ? plan_.clock(plan_.clock_context) : 0;
  if (plan_.form == AttentionForm::absorbed) absorb_query(w);
  attend(layer, out);
  if (plan_.clock != nullptr) nanoseconds_ += plan_.clock(plan_.clock_context) - start;
}

void Attention::rotate(const float* cosine, const float* sine, float* x) const {
  const int32_t n = config_->rope_width / 2;
  if (config_->rope_interleaved) kernels_->rope_pairs(cosine, sine, n, x);
  else kernels_->rope_halves(cosine, sine, n, x);
}

// The query, and what the cache keeps of the token, unnormed and unrotated, into kv_.
void Attention::project(const Layer& w, Activation x) {
  const Config& c = *config_;
  if (c.query_latent_width > 0) {
    float* latent = query_latent_.x;
    apply(*kernels_, *team_, {{&w.q_a, latent}, {&w.kv_a, kv_}}, x);
    kernels_->rmsnorm(latent, w.q_a_norm, c.q_norm_epsilon, c.query_latent_width, latent);
    const Activation a = query_latent_.prepare(*kernels_, c.query_latent_width, plan_.activations_i8);
    apply(*kernels_, *team_, {{&w.q_b, query_}}, a);
  } else {
    apply(*kernels_, *team_, {{&w.q, query_}, {&w.kv_a, kv_}}, x);
  }
}

void Attention::rotate_query() {
  const Config& c = *config_;
  const int32_t n = c.rope_width / 2, width = c.query_head_width();
  for (int32_t i = 0; i < c.query_width(); ++i) pinned_query_[i] = query_[i];
  for (int32_t head = 0; head < c.n_heads; ++head) {
    rotate(angles_, angles_ + n, query_ + head * width + c.content_width);
    rotate(angles_ + 2 * n, angles_ + 3 * n, pinned_query_ + head * width + c.content_width);
  }
}

void Attention::project_mha(int32_t layer, Activation x) {
  const Layer& w = weights_->layers[layer];
  const int32_t n = config_->rope_width / 2, width = config_->n_kv_heads * config_->value_width;
  float *keys = kv_, *values = kv_ + padded_rows(width);  // products write whole panels
  apply(*kernels_, *team_, {{&w.q, query_}, {&w.k, keys}, {&w.v, values}}, x);
  rotate_query();
  for (int32_t head = 0; head < config_->n_kv_heads; ++head)
    rotate(angles_, angles_ + n, keys + head * config_->value_width);
  ring_.store(layer, slot_, keys, values);
}

void Attention::project_latent(int32_t layer, Activation x) {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  const int32_t n = c.rope_width / 2;
  float *latent = kv_, *rope = kv_ + c.latent_width;
  project(w, x);
  rotate_query();
  if (c.kv_norm == KvNorm::rms) kernels_->rmsnorm(latent, w.kv_a_norm, c.kv_norm_epsilon, c.latent_width, latent);
  if (c.gate == Gate::latent) gate_latent(layer, latent);
  rotate(angles_, angles_ + n, rope);
  store_norm(layer, ring_.store(layer, slot_, latent, rope));
}

// c' = norm_g(c * (W_UE E[id])), cached in place of c.
void Attention::gate_latent(int32_t layer, float* latent) {
  const Config& c = *config_;
  const Layer& w = weights_->layers[layer];
  load_gate(layer, id_, scratch_[0]);
  kernels_->multiply(latent, scratch_[0].gate, c.latent_width, latent);
  if (c.gate_norm == GateNorm::rms) {
    kernels_->rmsnorm(latent, w.gate_norm, c.gate_norm_epsilon, c.latent_width, latent);
    if (w.gate_norm_bias != nullptr) kernels_->add(latent, w.gate_norm_bias, c.latent_width, latent);
  } else if (c.gate_norm != GateNorm::none) {
    kernels_->layernorm(latent, w.gate_norm, w.gate_norm_bias, c.gate_norm_epsilon, c.latent_width, latent);
  }
}

// g = W_UE E[id], into scratch.gate.
void Attention::load_gate(int32_t layer, int32_t id, const Scratch& scratch) const {
  const Linear& table = weights_->gate_tables[layer / config_->layer_group_size];
  load_row(*kernels_, table, id, scratch.gate_input.x);
  const Activation e = scratch.gate_input.prepare(*kernels_, config_->gate_width, plan_.activations_i8);
  apply(*kernels_, weights_->layers[layer].gate_up, e, scratch.gate);
}

// The cached c of a slot as the input of w: the stored integers themselves where there are any.
Activation Attention::load_latent(int32_t layer, int32_t slot, const Linear& w, const Scratch& scratch) const {
  const Input& in = scratch.latent;
  const int32_t width = config_->latent_width, padded = int32_t(padded_cols(width));
  if (!plan_.cache_i8 || w.type == WeightType::f32) {
    ring_.load_first(layer, slot, in.x);
    for (int32_t i = width; i < padded; ++i) in.x[i] = 0;
    return {in.x, nullptr, nullptr, nullptr, nullptr};
  }
  const int8_t* stored = ring_.first_integers(layer, slot);
  for (int32_t i = 0; i < padded; ++i) in.q[i] = i < width ? stored[i] : int8_t(0);
  for (int32_t b = 0; b < padded / kBlockCols; ++b) in.d[b] = 1;
  kernels_->spread_blocks(in.q, padded, in.start, in.octets);
  ring_.load_first_scales(layer, slot, in.d);
  return {nullptr, in.q, in.d, in.start, in.octets};
}

// Computes and stores the scalars of norm_g for the token just cached, from the latent as it was cached, so that every
// later reading agrees. `scale` is the part of the latent's scale that rho takes.
void Attention::store_norm(int32_t layer, float scale) {
  if (ring_.shape().n_rho == 0) return;
  float rho[2] = {scale, scale};
  if (config_->gate == Gate::up && config_->gate_norm != GateNorm::none) {
    const Scratch& s = scratch_[0];
    const Linear& up = weights_->layers[layer].kv_b;
    load_gate(layer, id_, s);
    apply(*kernels_, up, load_latent(layer, slot_, up, s), s.up);
    kernels_->multiply(s.up, s.gate, config_->kv_width(), s.up);
    rho_of(s.up, scale, rho);
  }
  ring_.store_rho(layer, slot_, rho);
}

// Mean of the channels [offset, offset + width) of every head.
float Attention::mean_of(const float* product, int32_t offset, int32_t width) const {
  float total = 0;
  for (int32_t head = 0; head < config_->n_heads; ++head)
    total = total + kernels_->sum(product + head * config_->kv_head_width() + offset, width);
  return total / float(config_->n_heads * width);
}

// rho = scale / sqrt(variance of scale * product + eps); product [N] lacks the scale.
void Attention::rho_of(const float* product, float scale, float* rho) const {
  const Config& c = *config_;
  const int32_t n = c.kv_width(), head_width = c.kv_head_width();
  const auto rho_from = [&](float variance) {
    return scale / __builtin_sqrtf(__builtin_fmaf(scale * scale, variance, c.gate_norm_epsilon));
  };
  const auto split_variance = [&](int32_t offset, int32_t width) {
    const float mean = mean_of(product, offset, width);
    float total = 0;
    for (int32_t head = 0; head < c.n_heads; ++head)
      total = total + kernels_->sum_squares(product + head * head_width + offset, mean, width);
    return total / float(c.n_heads * width);
  };
  switch (c.gate_norm) {
    case GateNorm::layer:
      rho[0] = rho_from(kernels_->sum_squares(product, kernels_->sum(product, n) / float(n), n) / float(n));
      break;
    case GateNorm::rms: rho[0] = rho_from(kernels_->sum_squares(product, 0, n) / float(n)); break;
    case GateNorm::layer_split:
      rho[0] = rho_from(split_variance(0, c.content_width));
      rho[1] = rho_from(split_variance(c.content_width, c.value_width));
      break;
    case GateNorm::none: break;
  }
}

// [k ; v] of one slot from u [N] and its gate [N] (NULL without gate); row [N].
void Attention::finish_row(int32_t layer, int32_t slot, const float* up, const float* gate, float* row) const {
  const Config& c = *config_;
  const int32_t n = c.kv_width();
  float rho[2] = {1, 1};
  ring_.load_rho(layer, slot, rho);
  if (gate != nullptr) {
    kernels_->multiply(up, gate, n, row);
    up = row;
  }
  if (gate == nullptr || c.gate_norm == GateNorm::none || c.gate_norm == GateNorm::rms) {
    kernels_->shift_scale(up, 0, rho[0], n, row);
  } else if (c.gate_norm == GateNorm::layer) {
    kernels_->shift_scale(row, kernels_->sum(row, n) / float(n), rho[0], n, row);
  } else {
    const float mean_k = mean_of(row, 0, c.content_width), mean_v = mean_of(row, c.content_width, c.value_width);
    for (int32_t head = 0; head < c.n_heads; ++head, row += c.kv_head_width()) {
      kernels_->shift_scale(row, mean_k, rho[0], c.content_width, row);
      kernels_->shift_scale(row + c.content_width, mean_v, rho[1], c.value_width, row + c.content_width);
    }
  }
}

// Tokens of the same id share a gate: it is computed once per distinct id of the tile.
void Attention::expand_materialised(int32_t layer, int32_t first_slot, int32_t n_slots, const Scratch& s) const {
  const Linear& up = weights_->layers[layer].kv_b;
  const bool has_gate = config_->gate == Gate::up;
  const auto finish = [&](int32_t i) {
    apply(*kernels_, up, load_latent(layer, first_slot + i, up, s), s.up);
    finish_row(layer, first_slot + i, s.up, has_gate ? s.gate : nullptr, s.keys + i * key_row_width());
  };
  for (int32_t i = 0; i < n_slots; ++i) {
    if (!has_gate) {
      finish(i);
      continue;
    }
    const int32_t id = ring_.id(first_slot + i);
    bool is_first = true;
    for (int32_t j = 0; j < i && is_first; ++j) is_first = ring_.id(first_slot + j) != id;
    if (!is_first) continue;
    load_gate(layer, id, s);
    for (int32_t j = i; j < n_slots; ++j) {
      if (ring_.id(first_slot + j) == id) finish(j);
    }
  }
}

void Attention::expand_absorbed(int32_t layer, int32_t first_slot, int32_t n_slots, const Scratch& s) const {
  const int32_t width = config_->latent_width;
  for (int32_t i = 0; i < n_slots; ++i) {
    float* row = s.keys + i * width;
    ring_.load_first(layer, first_slot + i, row);
    if (ring_.shape().n_rho == 0) continue;
    float scale;
    ring_.load_rho(layer, first_slot + i, &scale);
    kernels_->shift_scale(row, 0, scale, width, row);
  }
}

void Attention::expand(int32_t layer, int32_t first_slot, int32_t n_slots, const Scratch& s, TileView* tile) const {
  const Config& c = *config_;
  const int32_t pinned = plan_.n_keep - first_slot, stride = key_row_width();
  const int32_t n_pinned = pinned < 0 ? 0 : pinned < n_slots ? pinned : n_slots;
  if (plan_.form == AttentionForm::mha) {
    for (int32_t i = 0; i < n_slots; ++i) {
      ring_.load_first(layer, first_slot + i, s.keys + i * stride);
      ring_.load_second(layer, first_slot + i, s.values + i * stride);
    }
    *tile = {n_slots, n_pinned, s.keys, stride,        c.value_width, c.value_width,           nullptr,
             0,       s.values, stride, c.value_width, c.value_width, c.n_heads / c.n_kv_heads};
    return;
  }
  for (int32_t i = 0; i < n_slots; ++i) ring_.load_second(layer, first_slot + i, s.rope + i * c.rope_width);
  if (plan_.form == AttentionForm::absorbed) {
    expand_absorbed(layer, first_slot, n_slots, s);
    *tile = {n_slots, n_pinned, s.keys, stride,         0, c.latent_width, s.rope, c.rope_width,
             s.keys,  stride,   0,      c.latent_width, 1};
  } else {
    expand_materialised(layer, first_slot, n_slots, s);
    *tile = {n_slots, n_pinned,          s.keys,
             stride,  c.kv_head_width(), c.content_width,
             s.rope,  c.rope_width,      s.keys + c.content_width,
             stride,  c.kv_head_width(), c.value_width,
             1};
  }
}

// W_UK^T q for every head, so that scores read the latents as they are.
void Attention::absorb_query(const Layer& w) {
  const Config& c = *config_;
  const int32_t stride = int32_t(padded_cols(c.latent_width));
  const bool is_small = int64_t(c.n_heads) * c.content_width * c.latent_width < (1 << 16);
  team_->run(c.n_heads, is_small, [&](int32_t head, int32_t) {
    const int32_t first = head * c.kv_head_width() / kPanelRows;
    apply_transposed(*kernels_, w.kv_b, first, first + c.content_width / kPanelRows,
                     query_ + head * c.query_head_width(), absorbed_ + head * stride);
  });
}

void Attention::attend(int32_t layer, float* out) {
  const Config& c = *config_;
  const int32_t width = c.query_head_width(), n_filled = ring_.n_filled(position_ + 1);
  const int32_t n_tiles = (n_filled + kTileSlots - 1) / kTileSlots;
  const bool is_absorbed = plan_.form == AttentionForm::absorbed;
  const auto view = [&](const float* query) -> QueryView {
    return {is_absorbed ? absorbed_ : query, is_absorbed ? int32_t(padded_cols(c.latent_width)) : width,
            query + c.content_width, width};
  };
  const QueryView window = view(query_), pinned = view(pinned_query_);
  const size_t stride = size_t(c.n_heads) * size_t(partial_width(partial_value_width()));
  team_->run(n_tiles, false, [&](int32_t t, int32_t thread) {
    const int32_t first = t * kTileSlots, left = n_filled - first;
    TileView tile;
    expand(layer, first, left < kTileSlots ? left : kTileSlots, scratch_[thread], &tile);
    attend_tile(*kernels_, tile, window, pinned, c.n_heads, scratch_[thread].scores, partials_ + stride * size_t(t));
  });
  merge(weights_->layers[layer], n_tiles, out);
}

void Attention::merge(const Layer& w, int32_t n_tiles, float* out) {
  const Config& c = *config_;
  const bool is_absorbed = plan_.form == AttentionForm::absorbed;
  const bool is_small = int64_t(c.n_heads) * c.value_width * (is_absorbed ? c.latent_width : n_tiles) < (1 << 16);
  team_->run(c.n_heads, is_small, [&](int32_t head, int32_t thread) {
    const Scratch& s = scratch_[thread];
    float* head_out = out + head * c.value_width;
    if (!is_absorbed) {
      merge_tiles(*kernels_, partials_, n_tiles, c.n_heads, head, c.value_width, s.weights, head_out);
      return;
    }
    merge_tiles(*kernels_, partials_, n_tiles, c.n_heads, head, c.latent_width, s.weights, s.latent.x);
    const Activation sum = s.latent.prepare(*kernels_, c.latent_width, plan_.activations_i8);
    const int32_t row = head * c.kv_head_width() + c.content_width;  // W_UV of the head
    apply_panels(*kernels_, w.kv_b, row / kPanelRows, (row + c.value_width) / kPanelRows, sum, s.up);
    for (int32_t i = 0; i < c.value_width; ++i) head_out[i] = s.up[row + i];
  });
}

}  // namespace pith
