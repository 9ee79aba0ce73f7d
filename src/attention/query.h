// The query of one token: rotated as the regions of the ring see it, and rounded where scores are integer products.
#ifndef PITH_ATTENTION_QUERY_H
#define PITH_ATTENTION_QUERY_H

#include <cstdint>

#include "ground/arena.h"
#include "kernels.h"
#include "layers/rotary.h"

namespace pith::internal {

struct HeadQuery {
  const float* x;   // head h at x + h stride
  int32_t stride;   // numbers
  const int8_t* q;  // [n_heads, padded width], zero after the width; NULL: the query is not rounded
  const float* d;   // [lanes] x ~= d q; 0 after the heads
};

// The query of every head, score scale included: for the content of keys, and for the rotary key that all heads share.
// MHA has no second one.
struct QueryHeads {
  HeadQuery content, rope;
};

// A query as one region of the ring sees it.
class RotatedQuery {
 public:
  void lay_out(const Setup& setup, Arena* arena);

  // query [n_h, d_n + d_r]: not rotated yet.
  void set(const float* query, const Angles& angles, Region region);

  QueryHeads heads() const;

  float* x = nullptr;          // [n_h, d_n + d_r]
  int8_t* content = nullptr;   // [n_h, d_n padded]; none with MHA
  int8_t* rope = nullptr;      // [n_h, d_r padded]
  float* content_d = nullptr;  // [lanes]
  float* rope_d = nullptr;     // [lanes]

 private:
  const Config* config_ = nullptr;
  const Kernels* kernels_ = nullptr;
  bool is_rounded_ = true;
};

// Whether queries are rounded, and scores products of integers.
inline bool has_integer_scores(const Plan& plan) {
  return plan.cache == Precision::i8 && plan.activations == Precision::i8;
}

// Rounds the heads of a query for integer scores: q [n_heads, padded width], d [n_heads].
void quantize_heads(const Kernels& kernels, const float* x, int32_t stride, int32_t n_heads, int32_t width, int8_t* q,
                    float* d);

}  // namespace pith::internal

#endif
