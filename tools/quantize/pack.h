// From a model as others keep it to the packed model that runs.
#ifndef PITH_QUANTIZE_PACK_H
#define PITH_QUANTIZE_PACK_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gguf_writer.h"
#include "model_source.h"
#include "packed.h"

namespace pith::quantize {

using namespace internal;

struct PackOptions {
  WeightType type = WeightType::q4;            // of the matrices
  WeightType embedding_type = WeightType::q8;  // of token_embd and output, which suffer most from rounding
  // Matrices of fewer than 16 bits a weight are not rounded again: they keep the numbers they have where a packed type
  // holds them, and become q8 where none does.
  bool keeps_quantised = false;
  std::function<void(uint64_t done, uint64_t total)> progress;  // bytes of packed matrices; may be empty
};

// "q4" or "q4m" (with q8 embeddings), "q8" or "f32" (throughout); "" keeps what is quantised and packs the rest as q4.
// Throws std::runtime_error for another name.
PackOptions pack_options(const std::string& type);

// What packing did to the matrices that were stored alike.
struct PackedMatrices {
  std::string stored_type;  // of the source
  WeightType type;          // that they were packed as
  bool is_exact;            // the source's codes, as its exact_type() has them
  int32_t n_matrices = 0;
  uint64_t n_weights = 0;
  uint64_t stored_bits = 0, packed_bits = 0;
  double squared_error = 0, squares = 0;  // sums over all weights

  double relative_error() const;  // root of squared_error / squares
};
using PackReport = std::vector<PackedMatrices>;

// Where a packed file goes: `append` takes its next bytes; `rewrite` its first ones again, once, at the end, when the
// hashes of its tensors are known.
struct PackSink {
  ByteSink append, rewrite;
};
PackSink into(std::vector<uint8_t>* bytes);

// Folds and packs a model. Some million weights are in memory at a time. Throws std::runtime_error with a sentence that
// names the key or tensor: before any work for what is missing, misshaped or unknown, while it works for numbers that are
// not finite or too large.
PackReport pack_model(const ModelSource& source, const PackOptions& options, const PackSink& sink);

// What a packed model is without its weights: all of the file before the first of them, with zeros for their hashes, and
// the bytes of the whole. A model opened over it, whatever follows, says what it will take.
struct PackOutline {
  std::vector<uint8_t> header;
  uint64_t file_bytes;
};
PackOutline pack_outline(const ModelSource& source, const PackOptions& options);

// A GGUF file of `size` bytes.
std::vector<uint8_t> pack_model(const void* data, size_t size, const PackOptions& options);

}  // namespace pith::quantize

#endif
