// Reads safetensors: u64 length of the header (little-endian), the header in JSON, then the bytes of the tensors.
//   {"__metadata__": {text: text}, "name": {"dtype": "BF16", "shape": [rows, cols], "data_offsets": [begin, end]}, ...}
// Offsets count from the end of the header. Together the tensors are all bytes that follow it, without gaps or overlaps;
// their addresses are any.
#ifndef PITH_QUANTIZE_SAFETENSORS_H
#define PITH_QUANTIZE_SAFETENSORS_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pith::quantize {

enum class StoredType : uint8_t { f32, f16, bf16, other };  // other: a type of the format that holds no weights here

struct StoredTensor {
  std::string name;  // any text
  StoredType type;
  std::string dtype;               // as the file has it
  std::vector<uint64_t> shape;     // slowest first; empty: one number
  std::span<const uint8_t> bytes;  // in the file
  uint64_t n = 0;                  // numbers

  // out [count]: numbers [first, first + count) of a tensor that is not `other`.
  void read(uint64_t first, uint64_t count, float* out) const;
  int bits() const { return type == StoredType::f32 ? 32 : 16; }  // of a number that is not `other`
};

// The tensors of a file of `size` bytes, in the header's order; its bytes must outlive them. The bytes are untrusted: throws
// std::runtime_error with a sentence that names the tensor.
std::vector<StoredTensor> read_safetensors(const void* data, size_t size);

}  // namespace pith::quantize

#endif
