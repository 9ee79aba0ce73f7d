#if !defined(__ARM_FEATURE_DOTPROD) || !defined(__ARM_FEATURE_MATMUL_INT8)
#error "compile this file with -march=armv8.2-a+dotprod+i8mm"
#endif
#include "neon_i8mm/products_neon_i8mm.h"

#include <arm_neon.h>

#include "fragment.h"
#include "generic/columns.h"

namespace pith::internal::neon_i8mm {
namespace {

#include "neon/rows_neon.inc"
#include "neon_dotprod/dots.inc"

// Octet p of columns x and y: the right-hand side of SMMLA, which multiplies two lanes of a panel by two columns.
//
//   w             0 1            lanes of 8 bytes
//   two_columns   x y
//   smmla         0x 0y 1x 1y    int32
PITH_INLINE int8x16_t two_columns(const int8_t* q, size_t cols, int p) {
  return vcombine_s8(vld1_s8(q + 8 * p), vld1_s8(q + cols + 8 * p));
}

// lanes[i]: lanes 2 i and 2 i + 1 of a panel, times columns x and y; by the order of lanes (packed.h), rows
//
//   lanes[0], [2]   0x 0y 1x 1y    2x 2y 3x 3y         lanes[1], [3]   4x 4y 5x 5y    6x 6y 7x 7y
//   uzp1            0x 1x 2x 3x                        uzp1            4x 5x 6x 7x
//   uzp2            0y 1y 2y 3y                        uzp2            4y 5y 6y 7y
PITH_INLINE void join_columns(const int32x4_t (&lanes)[4], Totals* first, Totals* second) {
  *first = {vuzp1q_s32(lanes[0], lanes[2]), vuzp1q_s32(lanes[1], lanes[3])};
  *second = {vuzp2q_s32(lanes[0], lanes[2]), vuzp2q_s32(lanes[1], lanes[3])};
}

// One column leaves half of SMMLA idle: SDOT serves it.
template <WeightType type, int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  if constexpr (n == 1) {
    dot_q4_by_sdot<type, 1>(block, a, total);
  } else {
    const uint8x16_t low_nibbles = vdupq_n_u8(15);
    int32x4_t lanes[n / 2][4];
    PITH_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint8x16_t w0 = vld1q_u8(block + 16 * i), w1 = vld1q_u8(block + 64 + 16 * i);
      const int8x16_t w[4] = {vreinterpretq_s8_u8(vandq_u8(w0, low_nibbles)),
                              vreinterpretq_s8_u8(vandq_u8(w1, low_nibbles)), vreinterpretq_s8_u8(vshrq_n_u8(w0, 4)),
                              vreinterpretq_s8_u8(vshrq_n_u8(w1, 4))};
      PITH_UNROLL
      for (int j = 0; j < n / 2; ++j) {
        int32x4_t sum = vdupq_n_s32(0);
        PITH_UNROLL
        for (int p = 0; p < 4; ++p) sum = vmmlaq_s32(sum, w[p], two_columns(a.q + 2 * a.cols * size_t(j), a.cols, p));
        lanes[j][i] = sum;
      }
    }
    PITH_UNROLL
    for (int j = 0; j < n; j += 2) {
      join_columns(lanes[j / 2], &total[j], &total[j + 1]);
      if constexpr (!has_minima(type)) {
        PITH_UNROLL
        for (int column = j; column < j + 2; ++column)
          total[column] = add_start(total[column], a.start + 4 * a.blocks * size_t(column));
      }
    }
  }
}

// Of two columns each; of one by itself.
constexpr int kStoredColumns = 4, kIntegerColumns = 8;
template <int n>
struct LaneSums {
  int32x4_t lanes[n == 1 ? 1 : n / 2][4];
};

template <int n>
PITH_INLINE void add_i8(const uint8_t* block, const int8_t* q, size_t cols, LaneSums<n>* sums) {
  if constexpr (n == 1) {
    add_i8_by_sdot<1>(block, q, cols, sums->lanes);
  } else {
    PITH_UNROLL
    for (int p = 0; p < 4; ++p) {
      int8x16_t q_i8x8x2[n / 2];
      PITH_UNROLL
      for (size_t j = 0; j < n / 2; ++j) q_i8x8x2[j] = two_columns(q + 2 * cols * j, cols, p);
      PITH_UNROLL
      for (size_t i = 0; i < 4; ++i) {
        const int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(block + 64 * p + 16 * int(i)));
        PITH_UNROLL
        for (size_t j = 0; j < n / 2; ++j) sums->lanes[j][i] = vmmlaq_s32(sums->lanes[j][i], w, q_i8x8x2[j]);
      }
    }
  }
}

template <int n>
PITH_INLINE void join(const LaneSums<n>& sums, const int32_t (&)[n], Totals (&total)[n]) {
  if constexpr (n == 1) {
    total[0] = join_lanes(sums.lanes[0]);
  } else {
    PITH_UNROLL
    for (int j = 0; j < n; j += 2) join_columns(sums.lanes[j / 2], &total[j], &total[j + 1]);
  }
}

template <int n>
PITH_INLINE void dot_q8(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  if constexpr (n == 1) {
    dot_q8_by_sdot<1>(block, a, total);
  } else {
    LaneSums<n> sums = {};
    add_i8<n>(block, a.q, a.cols, &sums);
    join<n>(sums, {}, total);
  }
}

#include "generic/integer_products.inc"
#include "generic/head_dots.inc"

// Two panels share the pairing of two columns.
constexpr int kTilePanels = 2, kTileColumns = 2;
constexpr int32_t kUnpackedFrom = 4;  // about where it begins to gain, as estimated (bench/results/kernels.md)

// [2 rows][2 columns], as SMMLA leaves them.
using VectorTotals = int32x4_t;
using VectorRows = float32x4_t;
using ColumnScales = float32x4_t;
constexpr int kVectorRows = 2, kVectorColumns = 2, kVectors = kTilePanels * kPanelRows / kVectorRows;

//   first, second   0x 1x    0y 1y
//   zip1, zip2      0x 0y    1x 1y
PITH_INLINE VectorRows load_rows(const float* y, size_t y_stride) {
  const float32x2_t first = vld1_f32(y), second = vld1_f32(y + y_stride);
  return vcombine_f32(vzip1_f32(first, second), vzip2_f32(first, second));
}
// Back: uzp1 gives 0x 1x, uzp2 0y 1y.
PITH_INLINE void store_rows(VectorRows rows, float* y, size_t y_stride) {
  vst1_f32(y, vuzp1_f32(vget_low_f32(rows), vget_high_f32(rows)));
  vst1_f32(y + y_stride, vuzp2_f32(vget_low_f32(rows), vget_high_f32(rows)));
}
//   scales       0 1 2 3    4 5 6 7
//   zip1, zip2   0 0 1 1    2 2 3 3    4 4 5 5    6 6 7 7
PITH_INLINE void store_scales(const Scales& scales, float* out) {
  vst1q_f32(out, vzip1q_f32(scales.rows0123, scales.rows0123));
  vst1q_f32(out + 4, vzip2q_f32(scales.rows0123, scales.rows0123));
  vst1q_f32(out + 8, vzip1q_f32(scales.rows4567, scales.rows4567));
  vst1q_f32(out + 12, vzip2q_f32(scales.rows4567, scales.rows4567));
}
// x y x y, put together in a scalar register: vector pipes have enough to do.
PITH_INLINE ColumnScales load_column_scales(const float* d, size_t stride) {
  uint32_t first, second;
  __builtin_memcpy(&first, d, sizeof first);
  __builtin_memcpy(&second, d + stride, sizeof second);
  return vreinterpretq_f32_u64(vdupq_n_u64(first | uint64_t(second) << 32));
}
PITH_INLINE VectorRows accumulate(VectorTotals total, const float* scales, ColumnScales d, VectorRows acc) {
  return vfmaq_f32(acc, vcvtq_f32_s32(total), vmulq_f32(vld1q_f32(scales), d));
}
PITH_INLINE VectorRows add_minima(const float* minima, ColumnScales sums, VectorRows acc) {
  return vfmaq_f32(acc, vld1q_f32(minima), sums);
}

// Octets of two rows, and their scales twice.
struct alignas(16) UnpackedBlock {
  int8_t w[kOctets][kVectors][16];
  float scales[kTilePanels * kPanelRows * kVectorColumns];
};

PITH_INLINE void store_octets(const int8x16_t (&octets)[kOctets][kRowPairs], int panel, UnpackedBlock* out) {
  PITH_UNROLL
  for (int p = 0; p < kOctets; ++p) {
    PITH_UNROLL
    for (int i = 0; i < kRowPairs; ++i) vst1q_s8(out->w[p][kRowPairs * panel + i], octets[p][i]);
  }
}

#include "neon/unpack_neon.inc"

// Octets p and p + 1 (a and b) of columns x and y, in 64-bit lanes:
//
//   first, second   xa xb    ya yb
//   zip1, zip2      xa ya    xb yb
template <WeightType, int n>
PITH_INLINE void dot_unpacked(const UnpackedBlock& block, const Columns& a, VectorTotals (&total)[1][kVectors]) {
  static_assert(n == 2);
  PITH_UNROLL
  for (VectorTotals& sums : total[0]) sums = load_zeros();
  PITH_UNROLL
  for (int p = 0; p < kOctets; p += 2) {
    const int64x2_t first = vreinterpretq_s64_s8(vld1q_s8(a.q + 8 * p));
    const int64x2_t second = vreinterpretq_s64_s8(vld1q_s8(a.q + a.cols + 8 * p));
    const int8x16_t columns[2] = {vreinterpretq_s8_s64(vzip1q_s64(first, second)),
                                  vreinterpretq_s8_s64(vzip2q_s64(first, second))};
    PITH_UNROLL
    for (int octet = 0; octet < 2; ++octet) {
      PITH_UNROLL
      for (int i = 0; i < kVectors; ++i)
        total[0][i] = vmmlaq_s32(total[0][i], vld1q_s8(block.w[p + octet][i]), columns[octet]);
    }
  }
}

#include "generic/unpacked_products.inc"

#include "neon_i8mm/quads_smmla.inc"
#include "neon/row_sums.inc"

}  // namespace

#include "generic/product_functions.inc"

void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride) {
  matmul_integers(w, blocks, panels, q, n, out, out_stride);
}

}  // namespace pith::internal::neon_i8mm
