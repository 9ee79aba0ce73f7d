// From a float model to the packed model that runs.
#ifndef PITH_QUANTIZE_PACK_H
#define PITH_QUANTIZE_PACK_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gguf_writer.h"
#include "packed.h"
#include "model/tensor_list.h"

namespace pith::quantize {

using namespace internal;

struct PackOptions {
  WeightType type = WeightType::q4;            // of the matrices
  WeightType embedding_type = WeightType::q8;  // of token_embd and output, which suffer most from rounding
  std::function<void(uint64_t done, uint64_t total)> progress;  // bytes of packed matrices; may be empty
};

// "q4" or "q4m" (with q8 embeddings), "q8" or "f32" (throughout). Throws std::runtime_error for another name.
PackOptions pack_options(const std::string& type);

// Folds and packs a float GGUF (F32, F16, BF16) of `size` bytes. Throws std::runtime_error with a sentence that names the
// key or tensor: before any work for what is missing, misshaped or unknown, while it works for numbers that are not finite
// or too large.
void pack_model(const void* data, size_t size, const PackOptions& options, const ByteSink& sink);
std::vector<uint8_t> pack_model(const void* data, size_t size, const PackOptions& options);

// Where the packer takes a model from.
struct FloatSource {
  std::function<void(GgufWriter*)> write_metadata;            // adds the model's own keys
  std::function<bool(const TensorSpec&)> has;                 // whether the model has this tensor of the list
  std::function<std::vector<float>(const TensorSpec&)> load;  // its values [rows, cols]; called once each
  std::vector<float> divisors;                                // LongRoPE's, [d_r / 2], or empty
};

// The packer of files and of models of random weights. Floats are in memory a layer at a time, the packed tensors as a whole:
// the file begins with their hashes.
void pack_tensors(const Config& config, const FloatSource& source, const PackOptions& options, const ByteSink& sink);

}  // namespace pith::quantize

#endif
