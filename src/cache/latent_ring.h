// The cache: a ring of what attention needs of every token, per layer two short vectors and a few scalars.
//
//              latent [latent_width]        rope [rope_width]         scalars
//   latent     c (normed latent)            k^R (rotated, shared)     c scales, rho, mean, k^R scale
//   MHA        k (rotated) of all KV heads  v of all KV heads         a scale per head for k, then for v
//
// MHA keeps keys and values in the two places: keys_of() and values_of() name them. Vectors are int8 with scales, or
// float32 without; scalars have 16 bits (wide_scale.h; means, which have a sign, fp16), or float32. The scales of c: up
// to r = 64 there is one, inside rho; beyond, one per block of 32 channels. rho = rstd of norm_g, and mean what norm_g
// subtracts, times rho (two of each for `layer_split`: k part, v part; `rms` has no mean). Slot of a token: the first
// n_keep positions have a slot for ever, the others share the rest in turn. They are followed by slots for tokens of a
// prompt that wait for the others of their chunk: numbers from the capacity on.
#ifndef PITH_CACHE_LATENT_RING_H
#define PITH_CACHE_LATENT_RING_H

#include <cstdint>

#include "ground/arena.h"
#include "model/config.h"
#include "model/plan.h"

namespace pith::internal {

// What one token stores in one layer, in numbers.
struct CacheShape {
  int32_t latent_width, rope_width;  // as stored; of MHA with the padding of its heads
  int32_t n_latent_scales;           // scales of the latent outside rho
  int32_t n_rho;                     // scalars that norm_g and the folded scale take
  int32_t n_means;                   // of norm_g
  int32_t n_rope_scales;
  int32_t latent_block;  // numbers per scale of the latent; 0: one scale for all, inside rho
  int32_t rope_block;    // numbers per scale of rope; 0: one scale for all
  int32_t stored_block;  // what a block takes: int8 heads of MHA are padded to 32
  uint32_t elements;     // numbers without padding

  int32_t n_scalars() const { return n_latent_scales + n_rho + n_means + n_rope_scales; }
  // Blocks of the latent: numbers that share a scale; and the numbers of one.
  int32_t n_blocks() const { return latent_block == 0 ? 1 : n_latent_scales; }
  int32_t block_width(int32_t block) const {
    const int32_t left = latent_width - block * latent_block;
    return latent_block == 0 || left < latent_block ? left : latent_block;
  }
  bool is_mean(int32_t index) const { return index >= mean_at() && index < rope_scale_at(); }
  int32_t rho_at() const { return n_latent_scales; }  // index of the first rho among the scalars
  int32_t mean_at() const { return n_latent_scales + n_rho; }
  int32_t rope_scale_at() const { return n_latent_scales + n_rho + n_means; }
};
CacheShape cache_shape(const Config& config, const Plan& plan);

constexpr size_t scalar_bytes(Precision precision) { return precision == Precision::i8 ? 2 : 4; }

struct RingBytes {
  uint64_t cache;      // the whole ring, without the slots of a chunk
  uint64_t per_token;  // over all layers, scalars included
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
  // The slot of a chunk's token i < plan.chunk, until move() takes it to where it belongs.
  int32_t staged_slot(int32_t i) const { return capacity_ + i; }
  int32_t staged_index(int32_t slot) const { return slot - capacity_; }
  void move(int32_t layer, int32_t from, int32_t to);

  // Slots that hold a token once `n_tokens` were written.
  int32_t n_filled(uint64_t n_tokens) const { return n_tokens < uint64_t(capacity_) ? int32_t(n_tokens) : capacity_; }

  // Quantises and stores; rho and mean are stored once they are known. Returns the scale that rho must contain: that
  // of the latent where it has no scale of its own, otherwise 1.
  float store(int32_t layer, int32_t slot, const float* latent, const float* rope);
  void store_rho(int32_t layer, int32_t slot, const float* rho);    // [n_rho]
  void store_mean(int32_t layer, int32_t slot, const float* mean);  // [n_means]

  // The latent as floats, scales applied, except the one inside rho: [latent_width]. Latents only.
  void load_latent(int32_t layer, int32_t slot, float* out) const;
  void load_rho(int32_t layer, int32_t slot, float* out) const;   // [n_rho]
  void load_mean(int32_t layer, int32_t slot, float* out) const;  // [n_means]

  // int8 only: the stored integers of the latent [latent_width], and their scales [n_latent_scales].
  const int8_t* latent_integers(int32_t layer, int32_t slot) const;
  void load_latent_scales(int32_t layer, int32_t slot, float* out) const;

  // What attention reads by slot: a layer's vectors begin at latents_of(layer) + latent_stride() * slot. Up to 63 bytes
  // after the last one may be read.
  const uint8_t* latents_of(int32_t layer) const { return latents_ + row(layer, 0) * latent_stride(); }
  const uint8_t* ropes_of(int32_t layer) const { return ropes_ + row(layer, 0) * rope_stride(); }
  const uint8_t* keys_of(int32_t layer) const { return latents_of(layer); }
  const uint8_t* values_of(int32_t layer) const { return ropes_of(layer); }
  size_t latent_stride() const { return size_t(shape_.latent_width) * number_bytes(precision_); }
  size_t rope_stride() const { return size_t(shape_.rope_width) * number_bytes(precision_); }

  // Scalars [first, first + n) of n_slots slots: out [n_slots] rows of `stride`.
  void gather_scalars(int32_t layer, const int32_t* slots, int32_t n_slots, int32_t first, int32_t n, float* out,
                      int32_t stride) const;

  // int8 only: scales [first, first + n) of n_slots slots as they are stored, each `copies` times: out [n_slots] rows
  // of `stride`, which need room for kSpreadSlack more after the last one.
  static constexpr int32_t kSpreadSlack = 3;
  void spread_scales(int32_t layer, const int32_t* slots, int32_t n_slots, int32_t first, int32_t n, int32_t copies,
                     uint16_t* out, int32_t stride) const;

  // All that a layer keeps of a slot, as slot_bytes() bytes: to put aside and to put back.
  size_t slot_bytes() const;
  void read_slot(int32_t layer, int32_t slot, uint8_t* out) const;
  void write_slot(int32_t layer, int32_t slot, const uint8_t* in);
  // Whether the bytes may have come from read_slot(): integers are within -127 .. 127, which products rest on.
  bool is_slot(const uint8_t* bytes) const;
  // The first n_filled slots of a ring that was laid out alike.
  void copy_from(const LatentRing& other, int32_t n_filled);

  const CacheShape& shape() const { return shape_; }
  int32_t n_keep() const { return n_keep_; }
  Precision precision() const { return precision_; }
  bool is_i8() const { return precision_ == Precision::i8; }

 private:
  size_t scalar_stride() const { return size_t(shape_.n_scalars()) * scalar_bytes(precision_); }
  size_t row(int32_t layer, int32_t slot) const { return size_t(layer) * size_t(n_slots_) + size_t(slot); }
  void store_scalar(size_t row, int32_t index, float value);
  float load_scalar(size_t row, int32_t index) const;
  void widen(const uint16_t* stored, int32_t first, int32_t n, float* out) const;
  template <typename Store>
  void store_vector(uint8_t* row, int32_t width, int32_t block, const float* x, Store store_scale);

  CacheShape shape_{};
  Precision precision_ = Precision::i8;
  int32_t capacity_ = 0, n_keep_ = 0, n_layers_ = 0;
  int32_t n_slots_ = 0;  // of a layer: capacity, and plan.chunk if that is more than one
  const Kernels* kernels_ = nullptr;
  uint8_t* latents_ = nullptr;  // [n_layers, n_slots, latent_width] int8 or float
  uint8_t* ropes_ = nullptr;    // [n_layers, n_slots, rope_width] int8 or float
  uint8_t* scalars_ = nullptr;  // [n_layers, n_slots, n_scalars] 16 bits or float
};

}  // namespace pith::internal

#endif
