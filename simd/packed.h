// The stored layouts of weight matrices: one for every instruction set, written by `pith quantize` and used straight
// from the mapped file.
//
// A matrix W [rows, cols] (cols = K, the input width) is cut into panels of 8 rows; rows are padded with zeros to a
// multiple of 8, columns to a multiple of 32. A block is 32 columns of a panel, which share one scale in each row.
// Blocks are gathered into superblocks so that whole ones are cache lines; the last superblock of a panel holds what
// is left (a 32-wide block for the smallest K).
//
//   q4   superblock of n = 4 blocks (576 bytes) or the 1..3 left over:
//          uint8 q[n][2][8][8]   [block][half p][lane][byte b]: low nibble  = u[row][32 block + 8 p + b],
//                                                              high nibble = u[row][32 block + 16 + 8 p + b]
//          fp16  d[n][8]         scales in natural row order
//        w = d (u - 8), u in 0..15; 4.5 bits a weight
//   q4m  superblock of n = 4 blocks (640 bytes) or the 1..3 left over:
//          uint8 q[n][2][8][8]   as q4's
//          fp16  d[n][8]         scales in natural row order
//          fp16  m[n][8]         minima (maxima where d < 0), likewise
//        w = d u + m, u in 0..15; 5 bits a weight
//   q8   superblock of n = 2 blocks (544 bytes) or the 1 left over:
//          int8  q[n][4][8][8]   [block][quarter p][lane][byte b]: q[row][32 block + 8 p + b], -127..127
//          fp16  d[n][8]
//        w = d q; 8.5 bits a weight
//   f32  float w[cols][8]        natural row order, one panel
//
// A stack is matrices of one shape and type, one after the other, each padded with zeros to a multiple of 4,096 bytes:
// where the first begins at a page, each is a run of whole pages.
//
// A lane is 8 bytes of one row, a 64-bit lane of a vector register. Lanes hold the rows in an order for which the
// pairwise adds of AVX2 (hadd) and NEON (addp) deliver natural order without a permutation:
//
//   lane   0  1  2  3  4  5  6  7
//   row    0  1  4  5  2  3  6  7
#ifndef PITH_SIMD_PACKED_H
#define PITH_SIMD_PACKED_H

#include <cstddef>
#include <cstdint>

namespace pith::internal {

constexpr int32_t kPanelRows = 8;
constexpr int32_t kBlockCols = 32;
constexpr int32_t kLaneOfRow[kPanelRows] = {0, 1, 4, 5, 2, 3, 6, 7};  // an involution: the row of a lane too

constexpr int32_t kQ4Blocks = 4;                // blocks of a full superblock of q4 and q4m
constexpr size_t kQ4BlockBytes = 128;           // nibbles of one block of a panel
constexpr int32_t kQ8Blocks = 2;                // blocks of a full q8 superblock
constexpr size_t kQ8BlockBytes = 256;           // bytes of one block of a panel
constexpr size_t kScaleBytes = 2 * kPanelRows;  // fp16 scales, or minima, of one block of a panel

enum class WeightType : uint8_t { f32, q8, q4, q4m };

// Whether weights are d u + m, with a minimum m for each block of a row.
constexpr bool has_minima(WeightType type) { return type == WeightType::q4m; }

// As model files spell it.
constexpr const char* weight_type_name(WeightType type) {
  switch (type) {
    case WeightType::f32: return "f32";
    case WeightType::q8: return "q8";
    case WeightType::q4: return "q4";
    case WeightType::q4m: return "q4m";
  }
  return "";
}

constexpr int64_t padded_rows(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows * kPanelRows; }
constexpr int64_t padded_cols(int64_t cols) { return (cols + kBlockCols - 1) / kBlockCols * kBlockCols; }

// Bytes of one panel of a matrix with `blocks` = padded_cols / 32 blocks of columns.
constexpr size_t panel_bytes(WeightType type, int32_t blocks) {
  switch (type) {
    case WeightType::q4: return size_t(blocks) * (kQ4BlockBytes + kScaleBytes);
    case WeightType::q8: return size_t(blocks) * (kQ8BlockBytes + kScaleBytes);
    case WeightType::q4m: return size_t(blocks) * (kQ4BlockBytes + 2 * kScaleBytes);
    case WeightType::f32: break;
  }
  return size_t(blocks) * kBlockCols * kPanelRows * sizeof(float);
}

// Bytes of a packed matrix. The caller has bounded rows and cols (2^31 each), so that this cannot overflow.
constexpr size_t packed_bytes(WeightType type, int64_t rows, int64_t cols) {
  return size_t(padded_rows(rows) / kPanelRows) * panel_bytes(type, int32_t(padded_cols(cols) / kBlockCols));
}

// Bytes of n matrices with `rows` rows together: of a stack, or of one matrix.
constexpr size_t kStackAlignment = 4096;
constexpr size_t stored_bytes(WeightType type, int64_t n, int64_t rows, int64_t cols) {
  const size_t one = packed_bytes(type, rows / n, cols);
  return n == 1 ? one : size_t(n) * ((one + kStackAlignment - 1) / kStackAlignment * kStackAlignment);
}

// Where block b of a panel lies: offsets in bytes from the panel's start. m: of q4m; elsewhere nothing.
struct BlockPlace {
  size_t q, d, m;
};
constexpr BlockPlace block_place(int32_t b, int32_t blocks, int32_t per_super, size_t block_bytes, size_t half_bytes) {
  const int32_t super = b / per_super, first = super * per_super;
  const size_t n = size_t(blocks - first < per_super ? blocks - first : per_super), i = size_t(b - first);
  const size_t q = size_t(first) * (block_bytes + half_bytes), d = q + n * block_bytes, m = d + n * kScaleBytes;
  return {q + i * block_bytes, d + i * kScaleBytes, m + i * kScaleBytes};
}
constexpr BlockPlace q4_place(int32_t b, int32_t blocks) {
  return block_place(b, blocks, kQ4Blocks, kQ4BlockBytes, kScaleBytes);
}
constexpr BlockPlace q8_place(int32_t b, int32_t blocks) {
  return block_place(b, blocks, kQ8Blocks, kQ8BlockBytes, kScaleBytes);
}
constexpr BlockPlace q4m_place(int32_t b, int32_t blocks) {
  return block_place(b, blocks, kQ4Blocks, kQ4BlockBytes, 2 * kScaleBytes);
}
// The same for any type of integers.
constexpr BlockPlace place_of(WeightType type, int32_t b, int32_t blocks) {
  if (type == WeightType::q8) return q8_place(b, blocks);
  return has_minima(type) ? q4m_place(b, blocks) : q4_place(b, blocks);
}

static_assert(panel_bytes(WeightType::q4, 4) == 576 && panel_bytes(WeightType::q8, 2) == 544);
static_assert(q4_place(5, 6).q == 576 + 128 && q4_place(5, 6).d == 576 + 256 + 16);
static_assert(panel_bytes(WeightType::q4m, 4) == 640 && q4m_place(5, 6).q == 640 + 128);
static_assert(q4m_place(5, 6).d == 640 + 256 + 16 && q4m_place(5, 6).m == 640 + 256 + 32 + 16);

}  // namespace pith::internal

#endif
