// The block types of GGUF: what their bytes stand for, as floats and as the codes of pith's packed types.
//
// A block is 32 or 256 neighbouring weights of a row. All of the types store integers of 2 to 8 bits and scales; with d and
// dmin in fp16 and the rest integers, a weight is
//
//   Q4_0, Q5_0, Q8_0   d q             q in -8..7, -16..15, -128..127; 32 weights share d
//   Q4_1, Q5_1         d u + m         u in 0..15, 0..31; m in fp16
//   IQ4_NL             d table[u]      a table of 16 numbers in -127..113
//   IQ4_XS             d s table[u]    256 weights share d, 32 share s in -32..31
//   Q4_K, Q5_K         d s u - dmin t  256 share d and dmin, 32 share s and t in 0..63; u in 0..15, 0..31
//   Q2_K               d s u - dmin t  16 share s and t in 0..15; u in 0..3
//   Q3_K, Q6_K         d s q           16 share s in -32..31, -128..127; q in -4..3, -32..31
#ifndef PITH_QUANTIZE_GGUF_BLOCKS_H
#define PITH_QUANTIZE_GGUF_BLOCKS_H

#include <cstdint>
#include <optional>

#include "model/tensor_types.h"
#include "packed.h"
#include "quantizer.h"

namespace pith::quantize {

using namespace internal;

// Whether the type holds weights, as all but i8 do.
bool holds_weights(TensorType type);

// The weights in float32, in the order of operations of ggml's own reference, to the bit: d s, then times q, then less
// dmin t. n_elements: whole blocks. Also for F32, F16 and BF16. Throws std::runtime_error where the type holds no weights.
void dequantize_blocks(TensorType type, const uint8_t* blocks, int64_t n_elements, float* out);

// The packed type that holds what the type stores, without rounding weights a second time.
//   Q4_0 -> q4; Q8_0, Q5_0, IQ4_NL -> q8; Q4_1 -> q4m:  the same integers, the same scales
//   Q3_K -> q8:  codes s q and d, exactly
//   IQ4_XS -> q8, Q4_K -> q4m:  the same integers; d s and dmin t are rounded to fp16, by at most 2^-11 of themselves (and not
//     at all where they are subnormal in fp16: they are multiples of 2^-24)
std::optional<WeightType> exact_type(TensorType type);

// The codes of 32 weights of a row, columns [32 block32, 32 block32 + 32), for exact_type(type). `row`: its first block.
//   q4: u - 8; q4m: u, and m; q8: -127..127.
// Two cases are not as stated above. q8 has no codes for a q of -128 (Q8_0; ggml's own quantiser writes none) or an s q of
// 128 (Q3_K): these 32 weights are rounded to a scale of 128/127 as quantize_q8 does, by at most half of it. And where a
// product is beyond fp16 (65,504), or the file's own scale is not finite, d is infinite, as with quantize_q8.
BlockCodes codes_of(TensorType type, const uint8_t* row, int32_t block32);

}  // namespace pith::quantize

#endif
