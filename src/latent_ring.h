// The cache: a ring of what attention needs of every token, per layer two short vectors and a few scalars.
//
//              first [first_width]          second [second_width]     scalars
//   latent     c (normed latent)            k^R (rotated, shared)     c scales, rho, k^R scale
//   MHA        k (rotated) of all KV heads  v of all KV heads         a scale per head for k, then for v
//
// Vectors are int8 with scales, or float32 without; scalars fp16, or float32. The scales of c: up to r = 64 there is one,
// inside rho; beyond, one per 32 channels. rho = rstd of norm_g (two of them for `layer_split`: k part, v part).
// Slot of a token: the first n_keep positions have a slot for ever, the others share the rest in turn.
#ifndef PITH_LATENT_RING_H
#define PITH_LATENT_RING_H

#include <cstdint>

#include "arena.h"
#include "config.h"
#include "plan.h"

namespace pith {

// What one token stores in one layer, in elements.
struct CacheShape {
  int32_t first_width, second_width;
  int32_t n_first_scales;  // scales of `first` outside rho
  int32_t n_rho;           // scalars that norm_g and the folded scale take
  int32_t n_second_scales;
  int32_t first_block;   // channels per scale of `first`; 0: one scale inside rho
  int32_t second_block;  // channels per scale of `second`

  int32_t n_scalars() const { return n_first_scales + n_rho + n_second_scales; }
};
CacheShape cache_shape(const Config& config, const Plan& plan);

struct RingBytes {
  uint64_t cache;      // the whole ring
  uint64_t per_token;  // over all layers, token id included
  uint32_t elements_per_token;
};
RingBytes ring_bytes(const Config& config, const Plan& plan);

class LatentRing {
 public:
  void lay_out(const Config& config, const Plan& plan, Arena* arena);

  int32_t slot_of(uint64_t position) const {
    const uint64_t keep = uint64_t(n_keep_), window = uint64_t(capacity_ - n_keep_);
    return int32_t(position < uint64_t(capacity_) ? position : keep + (position - keep) % window);
  }
  // Slots that hold a token once `n_tokens` were written.
  int32_t n_filled(uint64_t n_tokens) const { return n_tokens < uint64_t(capacity_) ? int32_t(n_tokens) : capacity_; }

  int32_t id(int32_t slot) const { return ids_[slot]; }
  void set_id(int32_t slot, int32_t id) { ids_[slot] = id; }

  // Quantises and stores; rho is stored with store_rho, once it is known. Returns the scale that rho must contain: that
  // of `first` where it has no scale of its own, otherwise 1.
  float store(int32_t layer, int32_t slot, const float* first, const float* second);
  void store_rho(int32_t layer, int32_t slot, const float* rho);  // [n_rho]

  // The stored vectors as floats, scales applied, except the one inside rho.
  void load_first(int32_t layer, int32_t slot, float* out) const;   // [first_width]
  void load_second(int32_t layer, int32_t slot, float* out) const;  // [second_width]
  void load_rho(int32_t layer, int32_t slot, float* out) const;     // [n_rho]

  // int8 only: the stored integers of `first` [first_width], and their scales [n_first_scales].
  const int8_t* first_integers(int32_t layer, int32_t slot) const;
  void load_first_scales(int32_t layer, int32_t slot, float* out) const;

  const CacheShape& shape() const { return shape_; }
  int32_t n_keep() const { return n_keep_; }

 private:
  size_t row(int32_t layer, int32_t slot) const { return size_t(layer) * size_t(capacity_) + size_t(slot); }
  void store_scalar(size_t row, int32_t index, float value);
  float load_scalar(size_t row, int32_t index) const;
  template <typename Store>
  void store_vector(void* rows, size_t row, int32_t width, int32_t block, const float* x, Store store_scale);

  CacheShape shape_{};
  bool is_i8_ = true;
  int32_t capacity_ = 0, n_keep_ = 0;
  const Kernels* kernels_ = nullptr;
  int32_t* ids_ = nullptr;   // [capacity], shared by all layers
  void* first_ = nullptr;    // [n_layers, capacity, first_width] int8 or float
  void* second_ = nullptr;   // [n_layers, capacity, second_width] int8 or float
  void* scalars_ = nullptr;  // [n_layers, capacity, n_scalars] fp16 or float
};

}  // namespace pith

#endif
