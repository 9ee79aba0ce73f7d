#ifndef __ARM_FEATURE_DOTPROD
#error "compile this file with -march=armv8.2-a+dotprod"
#endif
#include "neon_dotprod/products_neon_dotprod.h"

#include <arm_neon.h>

#include "fragment.h"
#include "generic/columns.h"

namespace pith::internal::neon_dotprod {
namespace {

#include "neon/rows_neon.inc"
#include "neon_dotprod/dots.inc"

template <WeightType type, int n>
PITH_INLINE void dot_q4(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  dot_q4_by_sdot<type, n>(block, a, total);
}
template <int n>
PITH_INLINE void dot_q8(const uint8_t* block, const Columns& a, Totals (&total)[n]) {
  dot_q8_by_sdot<n>(block, a, total);
}

constexpr int kStoredColumns = 4, kIntegerColumns = 4;
template <int n>
struct LaneSums {
  int32x4_t lanes[n][4];
};
template <int n>
PITH_INLINE void add_i8(const uint8_t* block, const int8_t* q, size_t cols, LaneSums<n>* sums) {
  add_i8_by_sdot<n>(block, q, cols, sums->lanes);
}
template <int n>
PITH_INLINE void join(const LaneSums<n>& sums, const int32_t (&)[n], Totals (&total)[n]) {
  PITH_UNROLL
  for (int j = 0; j < n; ++j) total[j] = join_lanes(sums.lanes[j]);
}

#include "generic/integer_products.inc"
#include "generic/head_dots.inc"

constexpr int kTilePanels = 1, kTileColumns = 4, kIntegerTileColumns = 8;
// It gains from 8 and 12 on, as estimated (bench/results/kernels.md); a tile of integers has 8.
constexpr int32_t kUnpackedFrom = 8, kIntegersUnpackedFrom = 16;

#include "neon/vector_rows.inc"

// Quads: 4 columns of each of 4 rows in natural order, in a register.
constexpr int kQuads = kBlockCols / 4;
struct alignas(16) UnpackedBlock {
  int8_t w[kQuads][kVectors][16];
  float scales[kPanelRows];
};

// An octet of rows 4 i .. 4 i + 3 as two quads, a and b, in 32-bit lanes:
//
//   low, high   0a 0b 1a 1b    2a 2b 3a 3b
//   uzp1        0a 1a 2a 3a
//   uzp2        0b 1b 2b 3b
PITH_INLINE void store_octets(const int8x16_t (&octets)[kOctets][kRowPairs], int, UnpackedBlock* out) {
  PITH_UNROLL
  for (int p = 0; p < kOctets; ++p) {
    PITH_UNROLL
    for (int i = 0; i < kVectors; ++i) {
      const int32x4_t low = vreinterpretq_s32_s8(octets[p][2 * i]), high = vreinterpretq_s32_s8(octets[p][2 * i + 1]);
      vst1q_s8(out->w[2 * p][i], vreinterpretq_s8_s32(vuzp1q_s32(low, high)));
      vst1q_s8(out->w[2 * p + 1][i], vreinterpretq_s8_s32(vuzp2q_s32(low, high)));
    }
  }
}

#include "neon/unpack_neon.inc"

// Both stay at their places in the program: g++ would put loads right before their uses, for which small cores wait,
// form chains out of what can run side by side, and copy registers.
PITH_INLINE void load_quad(const UnpackedBlock& block, int quad, int8x16_t (&w)[kVectors]) {
  PITH_UNROLL
  for (int i = 0; i < kVectors; ++i) __asm__ volatile("ldr %q0, %1" : "=w"(w[i]) : "m"(block.w[quad][i]));
}

// A quad of 4 rows times quad i = quad % 4 of the 16 columns in a register:
//
//   w            0 1 2 3     the quads of the rows
//   column[i]    i i i i     taken from lane i by the instruction itself
//   sums         0 1 2 3     int32
template <int quad>
PITH_INLINE void add_quad(int8x16_t w, int8x16_t column, int32x4_t* sums) {
  __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[%c3]" : "+w"(*sums) : "w"(w), "w"(column), "n"(quad % 4));
}

// From this quad on, every quad of the rows times the same of the columns. w: the quad's weights; they are loaded one
// ahead.
template <int quad, int n>
PITH_INLINE void add_quads(const UnpackedBlock& block, const int8_t* q, size_t cols, const int8x16_t (&w)[kVectors],
                           int8x16_t (&column)[n], VectorTotals (&total)[n][kVectors]) {
  int8x16_t next[kVectors];
  if constexpr (quad % 4 == 0) {
    PITH_UNROLL
    for (size_t j = 0; j < n; ++j) column[j] = vld1q_s8(q + cols * j + 4 * quad);
  }
  if constexpr (quad + 1 < kQuads) load_quad(block, quad + 1, next);
  PITH_UNROLL
  for (size_t i = 0; i < kVectors; ++i) {
    PITH_UNROLL
    for (size_t j = 0; j < n; ++j) add_quad<quad>(w[i], column[j], &total[j][i]);
  }
  if constexpr (quad + 1 < kQuads) add_quads<quad + 1, n>(block, q, cols, next, column, total);
}

template <int n>
PITH_INLINE void add_unpacked(const UnpackedBlock& block, const int8_t* q, size_t cols,
                              VectorTotals (&total)[n][kVectors]) {
  int8x16_t w[kVectors], column[n];
  load_quad(block, 0, w);
  add_quads<0, n>(block, q, cols, w, column, total);
}

template <WeightType, int n>
PITH_INLINE void dot_unpacked(const UnpackedBlock& block, const Columns& a, VectorTotals (&total)[n][kVectors]) {
  PITH_UNROLL
  for (size_t j = 0; j < n; ++j) {
    PITH_UNROLL
    for (VectorTotals& sums : total[j]) sums = load_zeros();
  }
  add_unpacked<n>(block, a.q, a.cols, total);
}

#include "generic/unpacked_products.inc"
#include "generic/unpacked_integers.inc"

#include "neon/quads_neon.inc"
#include "generic/quad_products.inc"
#include "neon/row_sums.inc"

}  // namespace

#include "generic/product_functions.inc"

void matmul_i8_i32(const uint8_t* w, int32_t blocks, int32_t panels, const int8_t* q, int32_t n, int32_t* out,
                   size_t out_stride) {
  matmul_integer_columns(w, blocks, panels, q, n, out, out_stride);
}

}  // namespace pith::internal::neon_dotprod
