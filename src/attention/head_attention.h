// Multi-head attention: keys and values are cached as they are, of as many heads as the model keeps. Tiles are shared
// by the threads, each with a softmax of its own.
#ifndef PITH_ATTENTION_HEAD_ATTENTION_H
#define PITH_ATTENTION_HEAD_ATTENTION_H

#include <cstdint>

#include "attention/running_softmax.h"
#include "attention/step.h"
#include "attention/tile_attention.h"
#include "layers/part.h"

namespace pith::internal {

class HeadAttention : Part {
 public:
  void lay_out(const Setup& setup, const LatentRing& ring, Arena* arena);

  // out [n_h d_v]: the heads' outputs.
  void attend(int32_t layer, const Step& step, float* out);

 private:
  // What one thread needs.
  struct Scratch {
    TileScratch tile;
    StoredScales scales;
  };

  const LatentRing* ring_ = nullptr;
  SoftmaxSplits splits_;
  Scratch* scratch_ = nullptr;  // [max_threads]
};

}  // namespace pith::internal

#endif
