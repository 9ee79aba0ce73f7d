// Latent attention as its definition has it: keys and values of every cached token are materialised from its latent,
// tile by tile, in every step. What the other forms are measured against.
#ifndef PITH_ATTENTION_MATERIALISED_ATTENTION_H
#define PITH_ATTENTION_MATERIALISED_ATTENTION_H

#include <cstdint>

#include "attention/running_softmax.h"
#include "attention/step.h"
#include "attention/tile_attention.h"
#include "cache/kv_cache.h"
#include "layers/part.h"

namespace pith::internal {

class MaterialisedAttention : Part {
 public:
  void lay_out(const Setup& setup, const KvCache& cache, Arena* arena);

  // out [n_h d_v]: the heads' outputs.
  void attend(int32_t layer, const Step& step, float* out);

 private:
  // What one thread needs.
  struct Scratch {
    TileScratch tile;
    Row rows;  // [kTileSlots]
  };

  inline void trace_row(int32_t layer, const SlotTile& tile, const Step& step, int32_t thread) const;

  const KvCache* cache_ = nullptr;
  SoftmaxSplits splits_;
  Scratch* scratch_ = nullptr;  // [max_threads]
};

}  // namespace pith::internal

#endif
