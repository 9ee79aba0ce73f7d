// Rotary position embedding: the angles of positions, and what is rotated by them.
#ifndef PITH_LAYERS_ROTARY_H
#define PITH_LAYERS_ROTARY_H

#include <cstdint>

#include "ground/arena.h"
#include "layers/chunk.h"

namespace pith::internal {

// The two regions of a ring. Queries see the pinned tokens of a full ring at another distance than that of their
// positions: at the one that they had when the ring became full, the longest that they ever show.
enum class Region : uint8_t { window, pinned };

// cos and sin of the angles of one position, for both regions.
struct Angles {
  const float* turn;  // [2: window, pinned][2: cos, sin][n_pairs]
  int32_t n_pairs;    // d_r / 2
  bool is_interleaved;

  // Rotates x [d_r] in place.
  void rotate(const Kernels& kernels, Region region, float* x) const {
    const float* cosine = turn + (region == Region::pinned ? 2 * n_pairs : 0);
    (is_interleaved ? kernels.rope_pairs : kernels.rope_halves)(cosine, cosine + n_pairs, n_pairs, x);
  }
};

// The angles of a chunk's tokens, computed once for all layers.
class AngleTable {
 public:
  void lay_out(const Setup& setup, Arena* arena);
  void set(const Chunk& chunk);
  Angles of(int32_t token) const { return {turns_ + token * stride(), n_pairs_, is_interleaved_}; }

 private:
  int32_t stride() const { return 4 * n_pairs_; }

  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  const uint64_t* turns_per_position_ = nullptr;  // [n_pairs] 0.64 fixed point
  uint64_t last_pinned_ = 0;                      // the position from which on pinned tokens keep their distance
  int32_t n_pairs_ = 0;
  bool is_interleaved_ = true;
  float* turns_ = nullptr;  // [plan.chunk][2: window, pinned][2: cos, sin][n_pairs]
};

}  // namespace pith::internal

#endif
