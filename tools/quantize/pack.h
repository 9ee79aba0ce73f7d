// From a float model to the packed model that runs.
#ifndef PITH_QUANTIZE_PACK_H
#define PITH_QUANTIZE_PACK_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "gguf_writer.h"
#include "packed.h"

namespace pith {

struct PackOptions {
  WeightType type = WeightType::q4;         // of the matrices
  WeightType embedding_type = WeightType::q8;  // of token_embd, output and the gate tables
  std::function<void(uint64_t done, uint64_t total)> progress;  // bytes of the packed file; may be empty
};

// "q4" (with q8 embeddings), "q8" or "f32" (throughout). Throws std::runtime_error for another name.
PackOptions pack_options(const std::string& type);

// Folds and packs a float GGUF (F32, F16, BF16) of `size` bytes, 64-byte aligned. Throws std::runtime_error with a
// sentence that names the key or tensor.
std::vector<uint8_t> pack_model(const void* data, size_t size, const PackOptions& options);

}  // namespace pith

#endif
