// The types of a GGUF file's tensors: how many weights a block has, and how many bytes.
#ifndef PITH_MODEL_TENSOR_TYPES_H
#define PITH_MODEL_TENSOR_TYPES_H

#include <cstdint>

namespace pith::internal {

// Those that pith reads. The library computes with f32 and i8 alone, which packed files are made of; `pith quantize`
// reads the others too. In block types some weights of a row share a scale (tools/quantize/gguf_blocks.h).
enum class TensorType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  i8 = 24,
  bf16 = 30
};

// As GGUF numbers it: also for types that pith does not read, whose blocks are 0 weights in 0 bytes. NULL where no type
// has the number, or none has it any more.
const char* tensor_type_name(uint32_t type);

inline const char* tensor_type_name(TensorType type) { return tensor_type_name(uint32_t(type)); }

// Neighbours of the fastest dimension, which is whole blocks; 1 for plain numbers.
uint64_t block_elements(TensorType type);
uint64_t block_bytes(TensorType type);

}  // namespace pith::internal

#endif
