// W_UK transposed, for absorbing queries into many gates at a time as integer products.
//
// Row j of a head's W_UK is d[j, b] u[j, i] for latent channel 32 b + i, with the weights' own integers u and scales d.
// So
//   sum_j W_UK[j, 32 b + i] z_j = sum_j u[j, i] (d[j, b] z_j)
// exactly: the scales go to the other factor, and the integers of a block become a matrix of their own. Built when a
// session is made, in the session's memory (about n_h d_n r bytes a layer: 1 % of the weights of the paper's shape);
// the weights stay where they are.
#ifndef PITH_ATTENTION_ABSORBED_KEYS_H
#define PITH_ATTENTION_ABSORBED_KEYS_H

#include <cstdint>

#include "ground/arena.h"
#include "model/config.h"
#include "model/weights.h"

namespace pith::internal {

class AbsorbedKeys {
 public:
  // Whether the weights of every layer are integers times scales, without minima.
  static bool is_possible(const Config& config, const Weights& weights);

  void lay_out(const Config& config, const Weights& weights, Arena* arena);

  int32_t n_blocks() const { return n_blocks_; }  // of 32 latent channels
  // [32 rows = channels][d_n padded to 32], 4 panels as kernels.matmul_i8_i32 reads them.
  const uint8_t* matrix(int32_t layer, int32_t head, int32_t block) const {
    return matrices_ + index(layer, head, block) * matrix_bytes();
  }
  // d [d_n padded], zero after d_n.
  const float* scales(int32_t layer, int32_t head, int32_t block) const {
    return scales_ + index(layer, head, block) * size_t(padded_);
  }

 private:
  size_t index(int32_t layer, int32_t head, int32_t block) const {
    return (size_t(layer) * size_t(n_heads_) + size_t(head)) * size_t(n_blocks_) + size_t(block);
  }
  size_t matrix_bytes() const { return size_t(kBlockCols) * size_t(padded_); }
  void fill(const Config& config, const Linear& up, int32_t layer, int32_t head, int32_t block);

  int32_t n_heads_ = 0, n_blocks_ = 0, padded_ = 0;
  uint8_t* matrices_ = nullptr;  // [n_layers, n_h, n_blocks, 4 panels, padded / 32][4][8][8]
  float* scales_ = nullptr;      // [n_layers, n_h, n_blocks, padded]
};

}  // namespace pith::internal

#endif
