// Rows of numbers that heads read - cached keys, values, latents, rotary keys - and the two things that attention does
// with them: scores of a query with n rows, and sums of n rows by weights. Rows are int8 with scales or float32, picked
// by number.
//
// Whatever belongs to a token and a head is [n, lanes]: heads lie in vector lanes, padded to a multiple of 16.
#ifndef PITH_ATTENTION_HEAD_ROWS_H
#define PITH_ATTENTION_HEAD_ROWS_H

#include <cstdint>

#include "attention/query.h"
#include "ground/arena.h"
#include "hints.h"
#include "layers/head_lanes.h"
#include "kernels.h"
#include "model/precision.h"

namespace pith::internal {

// n rows. A KV head is what some neighbouring heads read of a row.
struct HeadRows {
  const uint8_t* data = nullptr;   // row i begins at data + stride * index[i]
  size_t stride = 0;               // bytes
  const int32_t* index = nullptr;  // [n]
  int32_t n = 0;
  int32_t width = 0;         // numbers that a head reads
  int32_t kv_stride = 0;     // numbers from a KV head to the next; int8: padded_cols(width)
  int32_t heads_per_kv = 1;  // n_heads where all heads read the same
  Precision precision = Precision::i8;
  const float* scales = nullptr;      // [n, lanes]: what the row counts for a head; NULL:
  const float* row_scales = nullptr;  // [n]: what the row counts; NULL: 1
};

struct HeadScratch {
  int32_t* dots;    // [max_rows, lanes]
  float* weights;   // [max_rows, lanes]
  float* numbers;   // [max_width]: a KV head's, widened
  uint8_t* p;       // [max_rows / 4 up, lanes] quads: weights rounded
  float* steps;     // [lanes]: what a step of p is
  uint8_t* values;  // [max_rows / 4 up, max_width] quads: a KV head's

  void lay_out(int32_t max_rows, int32_t lanes, int32_t max_width, Arena* arena);
};

// Reads n rows, picked by number, ahead of the products that do.
inline void fetch_rows(const uint8_t* rows, size_t stride, const int32_t* index, int32_t n) {
  for (int32_t i = 0; i < n; ++i) fetch(rows + stride * size_t(index[i]), stride);
}

// Asks for what the first KV head is in the rows, so that it is on its way while something else is computed; sums of
// int8 ask for the next one while they read one.
void prefetch_first_heads(const HeadRows& rows);

// x [n, lanes] += scale * (query . row).
void add_scores(const Kernels& kernels, const HeadQuery& query, const HeadRows& rows, int32_t n_heads,
                const HeadScratch& scratch, float* x);

// out[h out_stride + j] = weight[h] sum + keep[h] out[h out_stride + j], the sum over the rows of weights[i, h] * scale
// * row[j] as integers: weights times scales are rounded to 254 steps of their largest of a head. int8 rows; out_stride
// as for add_sums.
void blend_rounded_sums(const Kernels& kernels, const float* weights, const HeadRows& rows, int32_t n_heads,
                        const HeadScratch& scratch, const float* keep, const float* weight, float* out,
                        int32_t out_stride);

// out[h out_stride + j] += sum over the rows of weights[i, h] * scale * row[j]. out_stride: at least
// padded_cols(width); int8 rows are summed beyond the width, in whole 16s, and what comes out there is of no meaning.
void add_sums(const Kernels& kernels, const float* weights, const HeadRows& rows, int32_t n_heads,
              const HeadScratch& scratch, float* out, int32_t out_stride);

}  // namespace pith::internal

#endif
