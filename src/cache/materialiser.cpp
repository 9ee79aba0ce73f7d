#include "cache/materialiser.h"

namespace pith::internal {

void Materialiser::lay_out(const Setup& setup, LatentRing* ring) {
  refer_to(setup);
  ring_ = ring;
  rows_ = row_shape(setup.config, plan_.cache);
}

void Materialiser::lay_out_scratch(Scratch* s, Arena* arena) const {
  const Config& c = *config_;
  const size_t n = size_t(padded_rows(c.kv_width()));
  s->gate_input.lay_out(1, c.gate_width, arena);
  s->gate = arena->take<float>(c.gate == Gate::none ? 0 : size_t(padded_rows(c.gate_output_width())));
  s->latents.lay_out(kMaxTokens, c.latent_width, arena);
  s->up = arena->take<float>(kMaxTokens * n);
  s->product = arena->take<float>(n);
  s->row = take_rows(rows_, 1, arena);
  const bool is_gated = c.gate == Gate::up;
  s->ids.lay_out(is_gated ? kMaxGates : 0, c.gate_width, arena);
  s->gates = arena->take<float>(is_gated ? kMaxGates * n : 0);
}

Activation Materialiser::gate_input(int32_t layer, int32_t id, const Columns& input) const {
  load_row(*kernels_, weights_->gate_tables[layer / config_->layer_group_size], id, input.x);
  input.pad(1, config_->gate_width);
  return input.prepare(*kernels_, 1, plan_.activations, gate_matrix(layer).type);
}

void Materialiser::compute_gate(int32_t layer, int32_t id, const Scratch& s, float* gate) const {
  apply(*kernels_, gate_matrix(layer), gate_input(layer, id, s.gate_input), gate);
}

void Materialiser::compute_gates(int32_t layer, const int32_t* ids, int32_t n, const Scratch& s) const {
  const Linear& table = weights_->gate_tables[layer / config_->layer_group_size];
  for (int32_t i = 0; i < n; ++i) load_row(*kernels_, table, ids[i], s.ids.x + i * s.ids.cols);
  s.ids.pad(n, config_->gate_width);
  apply_columns(*kernels_, {gate_matrix(layer), 0, up_stride() / kPanelRows},
                s.ids.prepare(*kernels_, n, plan_.activations, gate_matrix(layer).type), n, s.gates,
                size_t(up_stride()));
}

void Materialiser::round_gate(float* gate, const Scratch& s) const {
  if (rows_.precision == Precision::f32) return;
  store_gate(gate, s.row);
}

void Materialiser::store_gate(float* gate, Row row) const {
  store_row(*kernels_, rows_, gate, row);
  load_row(*kernels_, rows_, row, gate);
}

void Materialiser::up_project(int32_t layer, const int32_t* slots, int32_t n, const Scratch& s) const {
  const Linear& up = weights_->layers[layer].kv_b;
  const Precision precision = up.type == WeightType::f32 ? Precision::f32 : plan_.cache;
  const int32_t width = config_->latent_width, cols = s.latents.cols, blocks = cols / kBlockCols;
  for (int32_t i = 0; i < n; ++i) {
    if (precision == Precision::f32) {
      float* x = s.latents.x + i * cols;
      ring_->load_latent(layer, slots[i], x);
      for (int32_t j = width; j < cols; ++j) x[j] = 0;
      continue;
    }
    const int8_t* stored = ring_->latent_integers(layer, slots[i]);
    int8_t* q = s.latents.q + i * cols;
    for (int32_t j = 0; j < width; ++j) q[j] = stored[j];
    for (int32_t j = width; j < cols; ++j) q[j] = 0;
    for (int32_t b = 0; b < blocks; ++b) s.latents.d[i * blocks + b] = 1;
    ring_->load_latent_scales(layer, slots[i], s.latents.d + i * blocks);
  }
  if (precision == Precision::i8)
    kernels_->spread_blocks(s.latents.q, s.latents.d, n * cols, s.latents.start, s.latents.octets, s.latents.sums);
  apply_columns(*kernels_, {up, 0, up_stride() / kPanelRows}, s.latents.activation(precision), n, s.up,
                size_t(up_stride()));
}

// Mean of the channels [offset, offset + width) of every head.
float Materialiser::mean_of(const float* product, int32_t offset, int32_t width) const {
  float total = 0;
  for (int32_t head = 0; head < config_->n_heads; ++head)
    total = total + kernels_->sum(product + head * config_->kv_head_width() + offset, width);
  return total / float(config_->n_heads * width);
}

// rho = scale / sqrt(variance of scale * product + eps); the product lacks the scale. NaN of a variance that is not
// finite, as for the kernels' norms.
Materialiser::Norm Materialiser::norm(const float* up, const float* gate, float scale, const Scratch& s) const {
  const Config& c = *config_;
  const int32_t n = c.kv_width(), head_width = c.kv_head_width();
  Norm norm{{scale, scale}, {0, 0}};
  if (gate == nullptr || c.gate_norm == GateNorm::none) return norm;
  const float* product = s.product;
  kernels_->multiply(up, gate, n, s.product);
  const auto rho_from = [&](float variance) {
    const float scaled = __builtin_fmaf(scale * scale, variance, c.gate_norm_epsilon);
    return scale / __builtin_sqrtf(scaled) + (scaled - scaled);
  };
  const auto split_variance = [&](int32_t offset, int32_t width, float center) {
    float total = 0;
    for (int32_t head = 0; head < c.n_heads; ++head)
      total = total + kernels_->sum_squares(product + head * head_width + offset, center, width);
    return total / float(c.n_heads * width);
  };
  switch (c.gate_norm) {
    case GateNorm::layer:
      norm.mean[0] = norm.mean[1] = kernels_->sum(product, n) / float(n);
      norm.rho[0] = rho_from(kernels_->sum_squares(product, norm.mean[0], n) / float(n));
      break;
    case GateNorm::rms: norm.rho[0] = rho_from(kernels_->sum_squares(product, 0, n) / float(n)); break;
    case GateNorm::layer_split:
      norm.mean[0] = mean_of(product, 0, c.content_width);
      norm.mean[1] = mean_of(product, c.content_width, c.value_width);
      norm.rho[0] = rho_from(split_variance(0, c.content_width, norm.mean[0]));
      norm.rho[1] = rho_from(split_variance(c.content_width, c.value_width, norm.mean[1]));
      break;
    case GateNorm::none: break;
  }
  return norm;
}

void Materialiser::materialise(int32_t layer, int32_t slot, const float* up, const float* gate, const Scratch& s,
                               Row row) const {
  const Config& c = *config_;
  const int32_t n = c.kv_width();
  float rho[2] = {1, 1}, mean[2] = {}, *x = s.product;
  ring_->load_rho(layer, slot, rho);
  if (gate != nullptr) ring_->load_mean(layer, slot, mean);
  if (gate == nullptr) kernels_->shift_scale(up, 0, rho[0], n, x);
  else kernels_->multiply(up, gate, n, x);
  if (gate != nullptr && c.gate_norm == GateNorm::layer_split) {
    const auto norm_part = [&](int32_t part, int32_t width, float* of_head) {
      kernels_->shift_scale(of_head, 0, rho[part], width, of_head);
      kernels_->shift_scale(of_head, mean[part], 1, width, of_head);
    };
    for (float* head = x; head < x + n; head += c.kv_head_width()) {
      norm_part(0, c.content_width, head);
      norm_part(1, c.value_width, head + c.content_width);
    }
  } else if (gate != nullptr) {
    kernels_->shift_scale(x, 0, rho[0], n, x);
    if (c.gate_norm == GateNorm::layer) kernels_->shift_scale(x, mean[0], 1, n, x);
  }
  store_row(*kernels_, rows_, x, row);
}

void Materialiser::store_norm(int32_t layer, int32_t slot, const float* up, const float* gate, float scale,
                              const Scratch& s) const {
  Norm n = norm(up, gate, scale, s);
  ring_->store_rho(layer, slot, n.rho);
  ring_->load_rho(layer, slot, n.rho);  // as it was rounded
  for (int32_t i = 0; i < 2; ++i) n.mean[i] = n.mean[i] * n.rho[i];
  ring_->store_mean(layer, slot, n.mean);
}

void Materialiser::materialise_tokens(int32_t layer, const CachedToken* tokens, int32_t n, const RowPool& pool,
                                      const Scratch& s, Row rows) const {
  int32_t slots[kMaxTokens] = {};
  for (int32_t i = 0; i < n; ++i) slots[i] = tokens[i].slot;
  up_project(layer, slots, n, s);
  // The tokens from `first` on that share its id.
  const auto materialise_id = [&](int32_t first, const float* gate) {
    for (int32_t i = first; i < n; ++i) {
      if (tokens[i].id != tokens[first].id) continue;
      const float* up = s.up + i * up_stride();
      if (tokens[i].scale != CachedToken::kIsNormed) {
        store_norm(layer, slots[i], up, gate, tokens[i].scale, s);
        trace_.tensor("gate", layer, ring_->staged_index(slots[i]), gate, config_->kv_width());
      }
      materialise(layer, slots[i], up, gate, s, rows_.at(rows, size_t(i)));
    }
  };
  int32_t ids[kMaxGates], firsts[kMaxGates], n_missing = 0;
  const auto materialise_missing = [&] {
    compute_gates(layer, ids, n_missing, s);
    for (int32_t m = 0; m < n_missing; ++m) {
      float* gate = s.gates + m * up_stride();
      round_gate(gate, s);
      materialise_id(firsts[m], gate);
    }
    n_missing = 0;
  };
  for (int32_t i = 0; i < n; ++i) {
    bool is_first = true;
    for (int32_t j = 0; j < i && is_first; ++j) is_first = tokens[j].id != tokens[i].id;
    if (!is_first) continue;
    if (tokens[i].id < 0) {
      materialise_id(i, nullptr);
    } else if (tokens[i].gate_row >= 0) {
      load_row(*kernels_, rows_, pool.row(layer, tokens[i].gate_row), s.gate);
      materialise_id(i, s.gate);
    } else {
      ids[n_missing] = tokens[i].id;
      firsts[n_missing++] = i;
      if (n_missing == kMaxGates) materialise_missing();
    }
  }
  if (n_missing > 0) materialise_missing();
}

}  // namespace pith::internal
