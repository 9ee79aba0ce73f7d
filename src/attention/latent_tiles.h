// A tile of cached latents under all heads of a query, as two products of matrices of 8 bits. For a head h, tokens t
// and blocks b of the latent, whose channels share the scale d_tb (1 block up to r = 64, then 32 channels each):
//
//   score_th = sum_b (a_hb . c_tb) e_hb d_tb + (q^R_h . k^R_t) e^R_h d^R_t      a, c, q^R, k^R: int8
//   w_th     = exp(score_th - max_t score_th)                                   <= 1
//   p_thb    = round(w_th d_tb / e_hb)        e_hb = max_t w_th d_tb / 254       0 .. 254
//   out_hb   = sum_t w_th d_tb c_tb ~= e_hb sum_t p_thb c_tb                    an integer sum
//
// So each weight errs by half a step of 1/254 of the tile's largest: docs/design.md has what this costs heads.
// Denominators are sums of floats, and so is everything across tiles.
#ifndef PITH_ATTENTION_LATENT_TILES_H
#define PITH_ATTENTION_LATENT_TILES_H

#include <cstdint>

#include "attention/quad_heads.h"
#include "attention/running_softmax.h"
#include "attention/step.h"
#include "attention/tile_attention.h"
#include "layers/part.h"

namespace pith::internal {

class LatentTiles : Part {
 public:
  // What one thread needs.
  struct Scratch {
    float* scalars;       // [kTileSlots, scales]: of the tile's tokens
    float* scales;        // [kTileSlots, scales]: of their blocks, times rho where there is one
    float* rho;           // [kTileSlots]
    float* scores;        // [kTileSlots, lanes], then weights
    uint8_t* p;           // [kTileSlots / 4][lanes] quads
    float* steps;         // [lanes]: e
    uint8_t* values;      // [kTileSlots / 4][block] quads: c of a block
    RunningSoftmax part;  // of the tile: its maxima and sums
  };

  // Whether kernels take blocks as wide as this model's rotary keys: all that anybody has published are.
  static bool is_possible(const Config& config) { return config.rope_width <= kMaxQuadBlock; }

  void lay_out(const Setup& setup, const CacheShape& shape, Arena* arena);
  void lay_out_scratch(Scratch* s, Arena* arena) const;

  // The query: block `block` of a head's absorbed content, x ~= d q, q [padded to 32]. Several threads at the same
  // time.
  void set_query(int32_t head, int32_t block, const int8_t* q, float d) const { content_.set(head, block, q, d); }
  void set_ropes(const Step& step) const;

  // Adds a tile to the softmax, whose sums are those of latents.
  void attend(const RingLayer& ring, const SlotTile& tile, const Scratch& s, RunningSoftmax* running) const;

 private:
  const float* load_scales(const RingLayer& ring, const SlotTile& tile, const Scratch& s) const;

  CacheShape shape_{};
  int32_t n_scales_ = 0;  // scalars of a token, padded to 16
  QuadHeads content_;
  QuadHeads ropes_[2];  // as the window and as pinned tokens see them
};

}  // namespace pith::internal

#endif
