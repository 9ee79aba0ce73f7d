// Rotary position embedding: the angles of a position, and what is rotated by them.
#ifndef PITH_ROTARY_H
#define PITH_ROTARY_H

#include <cstdint>

#include "arena.h"
#include "attention_block.h"
#include "config.h"
#include "kernels.h"
#include "plan.h"
#include "weights.h"

namespace pith {

// cos and sin of the angles of one position. The pinned tokens of a full ring are seen at another: they keep the distance
// that they had when it became full, the longest that they ever show.
class Angles {
 public:
  void lay_out(const Config& config, Arena* arena);
  void set(const Kernels& kernels, const Plan& plan, const Weights& weights, uint64_t position);

  // Rotates x [d_r] in place.
  void rotate(const Kernels& kernels, const Config& config, bool is_pinned, float* x) const;

 private:
  int32_t n_ = 0;          // d_r / 2
  float* turn_ = nullptr;  // [2: window, pinned][2: cos, sin][d_r / 2]
};

// A query as one part of the ring sees it.
class RotatedQuery {
 public:
  void lay_out(const Config& config, Arena* arena);

  // query [n_h, d_n + d_r]: not rotated yet. is_rounded: scores are integer products.
  void set(const Kernels& kernels, const Config& config, const float* query, const Angles& angles, bool is_pinned,
           bool is_rounded);

  QueryParts parts(const Config& config) const;

  float* x = nullptr;          // [n_h, d_n + d_r]
  int8_t* content = nullptr;   // [n_h, d_n padded]; none with MHA
  int8_t* rope = nullptr;      // [n_h, d_r padded]
  float* content_d = nullptr;  // [lanes]
  float* rope_d = nullptr;     // [lanes]

 private:
  bool is_rounded_ = true;
};

}  // namespace pith

#endif
