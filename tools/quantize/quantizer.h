// Packs a float matrix into the stored layouts of simd/packed.h.
#ifndef PITH_QUANTIZE_QUANTIZER_H
#define PITH_QUANTIZE_QUANTIZER_H

#include <cstdint>

#include "packed.h"

namespace pith::quantize {

using namespace internal;

// w [rows, cols], finite -> out [packed_bytes(type, rows, cols)]. Deterministic for any number of threads. Returns false,
// with `out` useless, where a block's scale is beyond fp16 (weights above 4.5e5 in q4, 8.3e6 in q8).
//   q8: d = fp16(max|w| / 127); the largest code of a block is 127, so that re-quantising a dequantised row is exact.
//   q4: per row and 32 columns, the fp16 scale (of either sign) and the codes with the least squared error found.
[[nodiscard]] bool pack_matrix(WeightType type, const float* w, int64_t rows, int64_t cols, uint8_t* out);

// One block of 32 values of a row: codes, scale and minimum. What pack_matrix is made of.
struct BlockCodes {
  int8_t q[kBlockCols];  // q8: -127..127; q4: u - 8, in -8..7; q4m: u, in 0..15
  uint16_t d;            // fp16
  uint16_t m;            // fp16; 0 but for q4m
};
BlockCodes quantize_q8(const float (&x)[kBlockCols]);
BlockCodes quantize_q4(const float (&x)[kBlockCols]);

}  // namespace pith::quantize

#endif
