#include "cache/latent_ring.h"

#include <cstring>

#include "cache/stored_integers.h"
#include "half.h"
#include "wide_scale.h"

namespace pith::internal {
namespace {

constexpr int32_t kOneScaleWidth = 64;  // up to this latent width one scale per token is precise enough
constexpr size_t kSlack = 64;           // bytes after the vectors: kernels read whole blocks

CacheShape mha_shape(const Config& c, Precision precision) {
  const int32_t head = precision == Precision::i8 ? int32_t(padded_cols(c.value_width)) : c.value_width;
  const int32_t scales = precision == Precision::i8 ? c.n_kv_heads : 0;
  return {c.n_kv_heads * head,
          c.n_kv_heads * head,
          scales,
          0,
          0,
          scales,
          c.value_width,
          c.value_width,
          head,
          2 * uint32_t(c.n_kv_heads * c.value_width)};
}

}  // namespace

CacheShape cache_shape(const Config& c, const Plan& plan) {
  if (c.is_mha()) return mha_shape(c, plan.cache);
  const bool is_narrow = c.latent_width <= kOneScaleWidth;
  const int32_t norms =
      c.gate == Gate::up && c.gate_norm != GateNorm::none ? (c.gate_norm == GateNorm::layer_split ? 2 : 1) : 0;
  const int32_t means = c.gate_norm == GateNorm::rms ? 0 : norms;
  CacheShape shape{c.latent_width, c.rope_width, 0, norms, means, 0, 0, 0, 0, uint32_t(c.latent_width + c.rope_width)};
  if (plan.cache == Precision::f32) return shape;
  shape.n_rope_scales = 1;
  if (is_narrow) {
    shape.n_rho = norms > 0 ? norms : 1;
  } else {
    shape.latent_block = shape.stored_block = kBlockCols;
    shape.n_latent_scales = (c.latent_width + kBlockCols - 1) / kBlockCols;
  }
  return shape;
}

RingBytes ring_bytes(const Config& config, const Plan& plan) {
  const CacheShape shape = cache_shape(config, plan);
  const uint64_t numbers = uint64_t(shape.latent_width) + uint64_t(shape.rope_width);
  const uint64_t layer = numbers * number_bytes(plan.cache) + uint64_t(shape.n_scalars()) * scalar_bytes(plan.cache);
  Arena measure;
  Plan without_chunk = plan;
  without_chunk.chunk = 1;
  LatentRing().lay_out(config, without_chunk, &measure);
  return {measure.used(), layer * uint64_t(config.n_layers), shape.elements * uint32_t(config.n_layers)};
}

void LatentRing::lay_out(const Config& config, const Plan& plan, Arena* arena) {
  shape_ = cache_shape(config, plan);
  precision_ = plan.cache;
  capacity_ = plan.capacity;
  n_keep_ = plan.n_keep;
  n_layers_ = config.n_layers;
  kernels_ = plan.kernels;
  n_slots_ = capacity_ + (plan.chunk > 1 ? plan.chunk : 0);
  const size_t rows = size_t(config.n_layers) * size_t(n_slots_);
  latents_ = arena->take<uint8_t>(rows * latent_stride() + kSlack);
  ropes_ = arena->take<uint8_t>(rows * rope_stride() + kSlack);
  scalars_ = arena->take<uint8_t>(rows * scalar_stride());
}

void LatentRing::store_scalar(size_t row, int32_t index, float value) {
  const size_t at = row * size_t(shape_.n_scalars()) + size_t(index);
  if (!is_i8()) reinterpret_cast<float*>(scalars_)[at] = value;
  else reinterpret_cast<uint16_t*>(scalars_)[at] = shape_.is_mean(index) ? float_to_half(value) : float_to_scale(value);
}

float LatentRing::load_scalar(size_t row, int32_t index) const {
  const size_t at = row * size_t(shape_.n_scalars()) + size_t(index);
  if (!is_i8()) return reinterpret_cast<const float*>(scalars_)[at];
  const uint16_t stored = reinterpret_cast<const uint16_t*>(scalars_)[at];
  return shape_.is_mean(index) ? half_to_float(stored) : scale_to_float(stored);
}

// Scalars [first, first + n) of a slot, as int8 caches store them.
void LatentRing::widen(const uint16_t* stored, int32_t first, int32_t n, float* out) const {
  kernels_->widen_scales(stored, n, out);
  for (int32_t i = 0; i < n && shape_.n_means > 0; ++i) {
    if (shape_.is_mean(first + i)) out[i] = half_to_float(stored[i]);
  }
}

// Stores x [width]; store_scale(i, scale) for every block of numbers. block 0: one scale for all.
template <typename Store>
void LatentRing::store_vector(uint8_t* row, int32_t width, int32_t block, const float* x, Store store_scale) {
  if (!is_i8()) {
    for (int32_t i = 0; i < width; ++i) reinterpret_cast<float*>(row)[i] = x[i];
    return;
  }
  int8_t* out = reinterpret_cast<int8_t*>(row);
  const int32_t stored_block = block == 0 ? width : shape_.stored_block;
  if (block == 0) block = width;
  for (int32_t b = 0; b * stored_block < width; ++b, x += block, out += stored_block) {
    const int32_t left = width - b * stored_block, n = left < block ? left : block;
    store_scale(b, scale_to_float(store_integers(*kernels_, x, n, out)));
    for (int32_t i = n; i < stored_block && i < left; ++i) out[i] = 0;
  }
}

float LatentRing::store(int32_t layer, int32_t slot, const float* latent, const float* rope) {
  const size_t at = row(layer, slot);
  float inside_rho = 1;
  store_vector(latents_ + at * latent_stride(), shape_.latent_width, shape_.latent_block, latent,
               [&](int32_t i, float scale) {
                 if (shape_.latent_block == 0) inside_rho = scale;
                 else store_scalar(at, i, scale);
               });
  store_vector(ropes_ + at * rope_stride(), shape_.rope_width, shape_.rope_block, rope,
               [&](int32_t i, float scale) { store_scalar(at, shape_.rope_scale_at() + i, scale); });
  return inside_rho;
}

void LatentRing::store_rho(int32_t layer, int32_t slot, const float* rho) {
  for (int32_t i = 0; i < shape_.n_rho; ++i) store_scalar(row(layer, slot), shape_.rho_at() + i, rho[i]);
}

void LatentRing::store_mean(int32_t layer, int32_t slot, const float* mean) {
  constexpr float kLargestHalf =
      65504;  // a mean so many deviations from 0 leaves float32 nothing to subtract from either
  for (int32_t i = 0; i < shape_.n_means; ++i) {
    const bool is_beyond = is_i8() && __builtin_fabsf(mean[i]) > kLargestHalf;
    store_scalar(row(layer, slot), shape_.mean_at() + i,
                 is_beyond ? __builtin_copysignf(kLargestHalf, mean[i]) : mean[i]);
  }
}

const int8_t* LatentRing::latent_integers(int32_t layer, int32_t slot) const {
  return reinterpret_cast<const int8_t*>(latents_ + row(layer, slot) * latent_stride());
}

void LatentRing::load_latent_scales(int32_t layer, int32_t slot, float* out) const {
  for (int32_t i = 0; i < shape_.n_latent_scales; ++i) out[i] = load_scalar(row(layer, slot), i);
}

void LatentRing::load_latent(int32_t layer, int32_t slot, float* out) const {
  const size_t at = row(layer, slot);
  const int32_t width = shape_.latent_width, step = shape_.latent_block == 0 ? width : shape_.latent_block;
  if (!is_i8()) {
    const float* in = reinterpret_cast<const float*>(latents_ + at * latent_stride());
    for (int32_t i = 0; i < width; ++i) out[i] = in[i];
    return;
  }
  const int8_t* in = latent_integers(layer, slot);
  for (int32_t i = 0; i < width; i += step) {
    const float scale = shape_.latent_block == 0 ? 1.0f : load_scalar(at, i / step);
    kernels_->dequantize_row(in + i, scale, width - i < step ? width - i : step, out + i);
  }
}

void LatentRing::load_rho(int32_t layer, int32_t slot, float* out) const {
  for (int32_t i = 0; i < shape_.n_rho; ++i) out[i] = load_scalar(row(layer, slot), shape_.rho_at() + i);
}

void LatentRing::load_mean(int32_t layer, int32_t slot, float* out) const {
  for (int32_t i = 0; i < shape_.n_means; ++i) out[i] = load_scalar(row(layer, slot), shape_.mean_at() + i);
}

void LatentRing::gather_scalars(int32_t layer, const int32_t* slots, int32_t n_slots, int32_t first, int32_t n,
                                float* out, int32_t stride) const {
  const size_t width = size_t(shape_.n_scalars()), base = row(layer, 0);
  if (!is_i8() || stride != 1) {
    for (int32_t i = 0; i < n_slots; ++i) {
      const size_t at = (base + size_t(slots[i])) * width + size_t(first);
      if (is_i8()) widen(reinterpret_cast<const uint16_t*>(scalars_) + at, first, n, out + i * stride);
      else
        for (int32_t j = 0; j < n; ++j) out[i * stride + j] = reinterpret_cast<const float*>(scalars_)[at + size_t(j)];
    }
    return;
  }
  constexpr int32_t kChunk = 64;  // one scalar of many slots: together
  uint16_t stored[kChunk];
  for (int32_t i = 0; i < n_slots; i += kChunk) {
    const int32_t count = n_slots - i < kChunk ? n_slots - i : kChunk;
    for (int32_t j = 0; j < count; ++j)
      stored[j] = reinterpret_cast<const uint16_t*>(scalars_)[(base + size_t(slots[i + j])) * width + size_t(first)];
    (shape_.is_mean(first) ? kernels_->widen_halves : kernels_->widen_scales)(stored, count, out + i);
  }
}

void LatentRing::spread_scales(int32_t layer, const int32_t* slots, int32_t n_slots, int32_t first, int32_t n,
                               int32_t copies, uint16_t* out, int32_t stride) const {
  constexpr uint64_t kFourTimes = 0x0001000100010001;  // a store writes four: the next one takes back those too many
  static_assert(kSpreadSlack == sizeof kFourTimes / sizeof *out - 1);
  const size_t width = size_t(shape_.n_scalars()), base = row(layer, 0);
  for (int32_t i = 0; i < n_slots; ++i, out += stride) {
    const uint16_t* stored =
        reinterpret_cast<const uint16_t*>(scalars_) + (base + size_t(slots[i])) * width + size_t(first);
    uint16_t* to = out;
    for (int32_t j = 0; j < n; ++j, to += copies) {
      const uint64_t four = stored[j] * kFourTimes;
      for (int32_t copy = 0; copy < copies; copy += 4) std::memcpy(to + copy, &four, sizeof four);
    }
  }
}

size_t LatentRing::slot_bytes() const { return latent_stride() + rope_stride() + scalar_stride(); }

void LatentRing::read_slot(int32_t layer, int32_t slot, uint8_t* out) const {
  const size_t at = row(layer, slot);
  std::memcpy(out, latents_ + at * latent_stride(), latent_stride());
  std::memcpy(out + latent_stride(), ropes_ + at * rope_stride(), rope_stride());
  std::memcpy(out + latent_stride() + rope_stride(), scalars_ + at * scalar_stride(), scalar_stride());
}

void LatentRing::write_slot(int32_t layer, int32_t slot, const uint8_t* in) {
  const size_t at = row(layer, slot);
  std::memcpy(latents_ + at * latent_stride(), in, latent_stride());
  std::memcpy(ropes_ + at * rope_stride(), in + latent_stride(), rope_stride());
  std::memcpy(scalars_ + at * scalar_stride(), in + latent_stride() + rope_stride(), scalar_stride());
}

bool LatentRing::is_slot(const uint8_t* bytes) const {
  constexpr uint8_t kNever = 0x80;  // -128
  bool is_good = true;
  for (size_t i = 0; i < latent_stride() + rope_stride() && is_i8(); ++i) is_good = is_good && bytes[i] != kNever;
  return is_good;
}

void LatentRing::move(int32_t layer, int32_t from, int32_t to) {
  const size_t source = row(layer, from), target = row(layer, to);
  std::memcpy(latents_ + target * latent_stride(), latents_ + source * latent_stride(), latent_stride());
  std::memcpy(ropes_ + target * rope_stride(), ropes_ + source * rope_stride(), rope_stride());
  std::memcpy(scalars_ + target * scalar_stride(), scalars_ + source * scalar_stride(), scalar_stride());
}

void LatentRing::copy_from(const LatentRing& other, int32_t n_filled) {
  const size_t n = size_t(n_filled);
  for (int32_t layer = 0; layer < n_layers_; ++layer) {
    const size_t to = row(layer, 0), from = other.row(layer, 0);
    std::memcpy(latents_ + to * latent_stride(), other.latents_ + from * latent_stride(), n * latent_stride());
    std::memcpy(ropes_ + to * rope_stride(), other.ropes_ + from * rope_stride(), n * rope_stride());
    std::memcpy(scalars_ + to * scalar_stride(), other.scalars_ + from * scalar_stride(), n * scalar_stride());
  }
}

}  // namespace pith::internal
