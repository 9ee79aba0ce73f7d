#include "latent_ring.h"

#include "half.h"

namespace pith {
namespace {

constexpr int32_t kOneScaleWidth = 64;  // up to this latent width one scale per token is precise enough

CacheShape mha_shape(const Config& c, bool is_i8) {
  const int32_t width = c.n_kv_heads * c.value_width, scales = is_i8 ? c.n_kv_heads : 0;
  return {width, width, scales, 0, scales, c.value_width, c.value_width};
}

}  // namespace

CacheShape cache_shape(const Config& c, const Plan& plan) {
  if (c.is_mha()) return mha_shape(c, plan.cache_i8);
  const bool is_narrow = c.latent_width <= kOneScaleWidth;
  const int32_t norms =
      c.gate == Gate::up && c.gate_norm != GateNorm::none ? (c.gate_norm == GateNorm::layer_split ? 2 : 1) : 0;
  CacheShape shape{c.latent_width, c.rope_width, 0, norms, 0, 0, c.rope_width};
  if (!plan.cache_i8) return shape;
  shape.n_second_scales = 1;
  if (is_narrow) {
    shape.n_rho = norms > 0 ? norms : 1;
  } else {
    shape.first_block = kBlockCols;
    shape.n_first_scales = (c.latent_width + kBlockCols - 1) / kBlockCols;
  }
  return shape;
}

RingBytes ring_bytes(const Config& config, const Plan& plan) {
  const CacheShape shape = cache_shape(config, plan);
  const uint64_t elements = uint64_t(shape.first_width) + uint64_t(shape.second_width);
  const uint64_t layer = elements * (plan.cache_i8 ? 1 : 4) + uint64_t(shape.n_scalars()) * (plan.cache_i8 ? 2 : 4);
  Arena measure;
  LatentRing().lay_out(config, plan, &measure);
  return {measure.used(), layer * uint64_t(config.n_layers) + sizeof(int32_t),
          uint32_t(elements) * uint32_t(config.n_layers)};
}

void LatentRing::lay_out(const Config& config, const Plan& plan, Arena* arena) {
  shape_ = cache_shape(config, plan);
  is_i8_ = plan.cache_i8;
  capacity_ = plan.capacity;
  n_keep_ = plan.n_keep;
  kernels_ = plan.kernels;
  const size_t rows = size_t(config.n_layers) * size_t(capacity_);
  const size_t element = is_i8_ ? 1 : 4, scalar = is_i8_ ? 2 : 4;
  ids_ = arena->take<int32_t>(size_t(capacity_));
  first_ = arena->take<uint8_t>(rows * size_t(shape_.first_width) * element);
  second_ = arena->take<uint8_t>(rows * size_t(shape_.second_width) * element);
  scalars_ = arena->take<uint8_t>(rows * size_t(shape_.n_scalars()) * scalar);
}

void LatentRing::store_scalar(size_t row, int32_t index, float value) {
  const size_t at = row * size_t(shape_.n_scalars()) + size_t(index);
  if (is_i8_) static_cast<uint16_t*>(scalars_)[at] = float_to_half(value);
  else static_cast<float*>(scalars_)[at] = value;
}

float LatentRing::load_scalar(size_t row, int32_t index) const {
  const size_t at = row * size_t(shape_.n_scalars()) + size_t(index);
  return is_i8_ ? half_to_float(static_cast<const uint16_t*>(scalars_)[at]) : static_cast<const float*>(scalars_)[at];
}

// Stores x [width]; store_scale(i, scale) for every block of channels. block 0: one scale for all.
template <typename Store>
void LatentRing::store_vector(void* rows, size_t row, int32_t width, int32_t block, const float* x, Store store_scale) {
  if (!is_i8_) {
    float* out = static_cast<float*>(rows) + row * size_t(width);
    for (int32_t i = 0; i < width; ++i) out[i] = x[i];
    return;
  }
  int8_t* out = static_cast<int8_t*>(rows) + row * size_t(width);
  const int32_t step = block == 0 ? width : block;
  for (int32_t i = 0; i < width; i += step) {
    const int32_t n = width - i < step ? width - i : step;
    store_scale(i / step, kernels_->quantize_row(x + i, n, out + i));
  }
}

float LatentRing::store(int32_t layer, int32_t slot, const float* first, const float* second) {
  const size_t at = row(layer, slot);
  float inside_rho = 1;
  store_vector(first_, at, shape_.first_width, shape_.first_block, first, [&](int32_t i, float scale) {
    if (shape_.first_block == 0) inside_rho = scale;
    else store_scalar(at, i, scale);
  });
  const int32_t base = shape_.n_first_scales + shape_.n_rho;
  store_vector(second_, at, shape_.second_width, shape_.second_block, second,
               [&](int32_t i, float scale) { store_scalar(at, base + i, scale); });
  return inside_rho;
}

void LatentRing::store_rho(int32_t layer, int32_t slot, const float* rho) {
  for (int32_t i = 0; i < shape_.n_rho; ++i) store_scalar(row(layer, slot), shape_.n_first_scales + i, rho[i]);
}

const int8_t* LatentRing::first_integers(int32_t layer, int32_t slot) const {
  return static_cast<const int8_t*>(first_) + row(layer, slot) * size_t(shape_.first_width);
}

void LatentRing::load_first_scales(int32_t layer, int32_t slot, float* out) const {
  for (int32_t i = 0; i < shape_.n_first_scales; ++i) out[i] = load_scalar(row(layer, slot), i);
}

void LatentRing::load_first(int32_t layer, int32_t slot, float* out) const {
  const size_t at = row(layer, slot);
  const int32_t width = shape_.first_width, step = shape_.first_block == 0 ? width : shape_.first_block;
  if (!is_i8_) {
    const float* in = static_cast<const float*>(first_) + at * size_t(width);
    for (int32_t i = 0; i < width; ++i) out[i] = in[i];
    return;
  }
  const int8_t* in = first_integers(layer, slot);
  for (int32_t i = 0; i < width; i += step) {
    const float scale = shape_.first_block == 0 ? 1.0f : load_scalar(at, i / step);
    kernels_->dequantize_row(in + i, scale, width - i < step ? width - i : step, out + i);
  }
}

void LatentRing::load_second(int32_t layer, int32_t slot, float* out) const {
  const size_t at = row(layer, slot);
  const int32_t width = shape_.second_width, step = shape_.second_block;
  if (!is_i8_) {
    const float* in = static_cast<const float*>(second_) + at * size_t(width);
    for (int32_t i = 0; i < width; ++i) out[i] = in[i];
    return;
  }
  const int8_t* in = static_cast<const int8_t*>(second_) + at * size_t(width);
  const int32_t base = shape_.n_first_scales + shape_.n_rho;
  for (int32_t i = 0; i < width; i += step)
    kernels_->dequantize_row(in + i, load_scalar(at, base + i / step), step, out + i);
}

void LatentRing::load_rho(int32_t layer, int32_t slot, float* out) const {
  for (int32_t i = 0; i < shape_.n_rho; ++i) out[i] = load_scalar(row(layer, slot), shape_.n_first_scales + i);
}

}  // namespace pith
