// The query of one token: rotated as the regions of the ring see it, and rounded where scores are integer products.
#ifndef PITH_ATTENTION_QUERY_H
#define PITH_ATTENTION_QUERY_H

#include <cstdint>

#include "ground/arena.h"
#include "kernels.h"
#include "layers/rotary.h"
#include "model/config.h"

namespace pith::internal {

struct HeadQuery {
  const float* x;   // head h at x + h stride
  int32_t stride;   // numbers
  const int8_t* q;  // [n_heads, padded width], zero behind the width; NULL: the query is not rounded
  const float* d;   // [lanes] x ~= d q; 0 behind the heads
};

// The query of every head, score scale included: its part for the content of keys, and for the rotary key that all
// heads share. MHA has no second part.
struct QueryHeads {
  HeadQuery content, rope;
};

// A query as one part of the ring sees it.
class RotatedQuery {
 public:
  void lay_out(const Config& config, Arena* arena);

  // query [n_h, d_n + d_r]: not rotated yet. is_rounded: scores are integer products.
  void set(const Kernels& kernels, const Config& config, const float* query, const Angles& angles, bool is_pinned,
           bool is_rounded);

  QueryHeads parts(const Config& config) const;

  float* x = nullptr;          // [n_h, d_n + d_r]
  int8_t* content = nullptr;   // [n_h, d_n padded]; none with MHA
  int8_t* rope = nullptr;      // [n_h, d_r padded]
  float* content_d = nullptr;  // [lanes]
  float* rope_d = nullptr;     // [lanes]

 private:
  bool is_rounded_ = true;
};

// Rounds the heads of a query for integer scores: q [n_heads, padded width], d [n_heads].
void quantize_heads(const Kernels& kernels, const float* x, int32_t stride, int32_t n_heads, int32_t width, int8_t* q,
                    float* d);

}  // namespace pith::internal

#endif
