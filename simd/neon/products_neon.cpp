#include "neon/products_neon.h"

#include <arm_neon.h>

#include "fragment.h"
#include "generic/columns.h"

namespace pith::internal::neon {
namespace {

#include "neon/rows_neon.inc"

// Widening multiplications. u <= 15 and |q| <= 127: an int16 adds four products of at most 1,905, and a pair of them
// 15,240. Of lanes e = 2 i and o = 2 i + 1 of a panel:
//
//   even, odd   e e e e e e e e    o o o o o o o o     int16
//   addp        e e e e o o o o
//   saddlp      e e o o                                int32: what join_lanes takes
template <WeightType type, int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  const uint8x16_t low_nibbles = vdupq_n_u8(15);
  int32x4_t lanes[n][4];
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint8x16_t w0 = vld1q_u8(block + 16 * i), w1 = vld1q_u8(block + 64 + 16 * i);
    const int8x16_t low0 = vreinterpretq_s8_u8(vandq_u8(w0, low_nibbles));
    const int8x16_t low1 = vreinterpretq_s8_u8(vandq_u8(w1, low_nibbles));
    const int8x16_t high0 = vreinterpretq_s8_u8(vshrq_n_u8(w0, 4)), high1 = vreinterpretq_s8_u8(vshrq_n_u8(w1, 4));
    PITH_UNROLL
    for (int j = 0; j < n; ++j) {
      const int8_t* q = a.q + a.cols * size_t(j);
      const int8x8_t a0 = vld1_s8(q), a1 = vld1_s8(q + 8), a2 = vld1_s8(q + 16), a3 = vld1_s8(q + 24);
      int16x8_t even = vmull_s8(vget_low_s8(low0), a0), odd = vmull_s8(vget_high_s8(low0), a0);
      even = vmlal_s8(vmlal_s8(even, vget_low_s8(low1), a1), vget_low_s8(high0), a2);
      odd = vmlal_s8(vmlal_s8(odd, vget_high_s8(low1), a1), vget_high_s8(high0), a2);
      even = vmlal_s8(even, vget_low_s8(high1), a3);
      odd = vmlal_s8(odd, vget_high_s8(high1), a3);
      lanes[j][i] = vpaddlq_s16(vpaddq_s16(even, odd));
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    total[j] = join_lanes(lanes[j]);
    if constexpr (!has_minima(type)) total[j] = add_start(total[j], a.start + 4 * a.blocks * size_t(j));
  }
}

// An int16 adds two products of at most 127^2, 32,258. Of lanes e = 2 i and o = 2 i + 1 of a panel:
//
//   even_pairs, odd_pairs   e e e e e e e e    o o o o o o o o     int16
//   sadalp                  e e e e            o o o o             int32
//   addp                    e e o o                                what join_lanes takes
template <int n>
PITH_INLINE void dot_q8(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  int32x4_t lanes[n][4];
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    int8x16_t w[4];
    PITH_UNROLL
    for (int p = 0; p < 4; ++p) w[p] = vreinterpretq_s8_u8(vld1q_u8(block + 64 * p + 16 * i));
    PITH_UNROLL
    for (int j = 0; j < n; ++j) {
      const int8_t* q = a.q + a.cols * size_t(j);
      int32x4_t even, odd;
      PITH_UNROLL
      for (int p = 0; p < 4; p += 2) {
        const int8x8_t a0 = vld1_s8(q + 8 * p), a1 = vld1_s8(q + 8 * p + 8);
        const int16x8_t even_pairs = vmlal_s8(vmull_s8(vget_low_s8(w[p]), a0), vget_low_s8(w[p + 1]), a1);
        const int16x8_t odd_pairs = vmlal_s8(vmull_s8(vget_high_s8(w[p]), a0), vget_high_s8(w[p + 1]), a1);
        even = p == 0 ? vpaddlq_s16(even_pairs) : vpadalq_s16(even, even_pairs);
        odd = p == 0 ? vpaddlq_s16(odd_pairs) : vpadalq_s16(odd, odd_pairs);
      }
      lanes[j][i] = vpaddq_s32(even, odd);
    }
  }
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_lanes(lanes[j]);
}

constexpr int kStoredColumns = 4, kIntegerColumns = 4;
template <int n>
struct LaneSums {
  Totals total[n];
};

template <int n>
PITH_INLINE void add_i8(const uint8_t* block, const int8_t* q, size_t cols, LaneSums<n>* sums) {
  Totals total[n];
  dot_q8<n>(block, {q, nullptr, nullptr, cols, 0}, total);
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    sums->total[j].rows0123 = vaddq_s32(sums->total[j].rows0123, total[j].rows0123);
    sums->total[j].rows4567 = vaddq_s32(sums->total[j].rows4567, total[j].rows4567);
  }
}

template <int n>
PITH_INLINE void join(const LaneSums<n>& sums, const int32_t (&)[n], Totals (&total)[n]) {
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = sums.total[j];
}

// As dot_q8.
PITH_INLINE int32x4_t add_products(int8x16_t w, int8x16_t q, int32x4_t sums) {
  return vpadalq_s16(sums, vmlal_high_s8(vmull_s8(vget_low_s8(w), vget_low_s8(q)), w, q));
}
PITH_INLINE HeadSums add_step(const Step& step, const int8_t* q, HeadSums sums) {
  return add_products(step.high, vld1q_s8(q + 16), add_products(step.low, vld1q_s8(q), sums));
}

#include "generic/integer_products.inc"
#include "generic/head_dots.inc"

constexpr int kTilePanels = 1, kTileColumns = 2, kIntegerTileColumns = 2;
// About where it begins to gain, as estimated (bench/results/kernels.md).
constexpr int32_t kUnpackedFrom = 4, kIntegersUnpackedFrom = 4;

#include "neon/vector_rows.inc"

// Rows in natural order, of two halves of 16 columns.
struct alignas(16) UnpackedBlock {
  int8_t w[kPanelRows][2][16];
  float scales[kPanelRows];
};

// Of rows 2 i and 2 i + 1 (r and s), octets p and p + 1 (a and b) in 64-bit lanes:
//
//   octets   ra sa    rb sb
//   zip1     ra rb                 16 columns of row r
//   zip2     sa sb
PITH_INLINE void store_octets(const int8x16_t (&octets)[kOctets][kRowPairs], int, UnpackedBlock* out) {
  PITH_UNROLL
  for (int half = 0; half < 2; ++half) {
    PITH_UNROLL
    for (int i = 0; i < kRowPairs; ++i) {
      const int64x2_t low = vreinterpretq_s64_s8(octets[2 * half][i]);
      const int64x2_t high = vreinterpretq_s64_s8(octets[2 * half + 1][i]);
      vst1q_s8(out->w[2 * i][half], vreinterpretq_s8_s64(vzip1q_s64(low, high)));
      vst1q_s8(out->w[2 * i + 1][half], vreinterpretq_s8_s64(vzip2q_s64(low, high)));
    }
  }
}

#include "neon/unpack_neon.inc"

// Computed at this place of the program: g++ would form chains out of what can run side by side.
PITH_INLINE int16x8_t in_place(int16x8_t sums) {
  __asm__ volatile("" : "+w"(sums));
  return sums;
}

// The products of 4 rows with half a block of n columns, in 8 partial sums each.
template <bool is_first, int n>
PITH_INLINE void multiply_four(const int8_t (*rows)[2][16], int half, const int8x16_t (&q)[n],
                               int16x8_t (&sums)[kVectorRows][n]) {
  int8x16_t w[kVectorRows];
  PITH_UNROLL
  for (int i = 0; i < kVectorRows; ++i) w[i] = vld1q_s8(rows[i][half]);
  PITH_UNROLL
  for (int i = 0; i < kVectorRows; ++i) {
    PITH_UNROLL
    for (int j = 0; j < n; ++j) {
      const int8x8_t low = vget_low_s8(w[i]), q_low = vget_low_s8(q[j]);
      sums[i][j] = in_place(is_first ? vmull_s8(low, q_low) : vmlal_s8(sums[i][j], low, q_low));
    }
  }
  PITH_UNROLL
  for (int i = 0; i < kVectorRows; ++i) {
    PITH_UNROLL
    for (int j = 0; j < n; ++j) sums[i][j] = in_place(vmlal_high_s8(sums[i][j], w[i], q[j]));
  }
}

// Sums of rows a, b, c and d:
//
//   int16   a a a a a a a a    b b b b b b b b    c ..    d ..       int32   a a a a    b b b b    c ..    d ..
//   addp    a a a a b b b b    c c c c d d d d                       addp    a a b b    c c d d
//   addp    a a b b c c d d                                          addp    a b c d
PITH_INLINE int16x8_t join_four(int16x8_t a, int16x8_t b, int16x8_t c, int16x8_t d) {
  return vpaddq_s16(vpaddq_s16(a, b), vpaddq_s16(c, d));
}
PITH_INLINE int32x4_t join_four(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
}

// u <= 15 and |q| <= 127: 16 products of a row, at most 30,480, fit into a lane. Of int8 two do.
template <WeightType type, int n>
PITH_INLINE void dot_unpacked(const UnpackedBlock& block, const Columns& a, VectorTotals (&total)[n][kVectors]) {
  int8x16_t q[2][n];
  PITH_UNROLL
  for (size_t half = 0; half < 2; ++half) {
    PITH_UNROLL
    for (size_t j = 0; j < n; ++j) q[half][j] = vld1q_s8(a.q + a.cols * j + 16 * half);
  }
  PITH_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    int16x8_t sums[kVectorRows][n];
    multiply_four<true>(block.w + kVectorRows * i, 0, q[0], sums);
    if constexpr (type != WeightType::q8) {
      multiply_four<false>(block.w + kVectorRows * i, 1, q[1], sums);
      PITH_UNROLL
      for (int j = 0; j < n; ++j)  // of two sums of each row, 0 0 1 1 2 2 3 3
        total[j][i] = vpaddlq_s16(join_four(sums[0][j], sums[1][j], sums[2][j], sums[3][j]));
    } else {
      int32x4_t wide[kVectorRows][n];
      PITH_UNROLL
      for (int row = 0; row < kVectorRows; ++row) {
        PITH_UNROLL
        for (int j = 0; j < n; ++j) wide[row][j] = vpaddlq_s16(sums[row][j]);
      }
      multiply_four<true>(block.w + kVectorRows * i, 1, q[1], sums);
      PITH_UNROLL
      for (int row = 0; row < kVectorRows; ++row) {
        PITH_UNROLL
        for (int j = 0; j < n; ++j) wide[row][j] = vpadalq_s16(wide[row][j], sums[row][j]);
      }
      PITH_UNROLL
      for (int j = 0; j < n; ++j) total[j][i] = join_four(wide[0][j], wide[1][j], wide[2][j], wide[3][j]);
    }
  }
}

template <int n>
PITH_INLINE void add_unpacked(const UnpackedBlock& block, const int8_t* q, size_t cols,
                              VectorTotals (&total)[n][kVectors]) {
  VectorTotals more[n][kVectors];
  dot_unpacked<WeightType::q8, n>(block, {q, nullptr, nullptr, cols, 0}, more);
  PITH_UNROLL
  for (int j = 0; j < n; ++j) {
    PITH_UNROLL
    for (int i = 0; i < kVectors; ++i) total[j][i] = vaddq_s32(total[j][i], more[j][i]);
  }
}

#include "generic/unpacked_products.inc"
#include "generic/unpacked_integers.inc"

// Two products of at most 127 * 128 fit into int16. Of lanes 0 to 3:
//
//   low, high   0 0 0 0 1 1 1 1    2 2 2 2 3 3 3 3     int16
//   addp        0 0 1 1 2 2 3 3
//   sadalp      0 1 2 3                                int32
PITH_INLINE int32x4_t multiply_quads(int32x4_t totals, int8x16_t quads, int8x16_t column) {
  const int16x8_t low = vmull_s8(vget_low_s8(quads), vget_low_s8(column));
  return vpadalq_s16(totals, vpaddq_s16(low, vmull_high_s8(quads, column)));
}

#include "neon/quads_neon.inc"
#include "generic/quad_products.inc"
#include "neon/row_sums.inc"

}  // namespace

#include "generic/product_functions.inc"

void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride) {
  matmul_integer_columns(w, blocks, panels, q, n, out, out_stride);
}

}  // namespace pith::internal::neon
