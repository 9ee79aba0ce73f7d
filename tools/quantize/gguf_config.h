// The configuration of a GGUF file that another program wrote, from the keys of its architecture.
#ifndef PITH_QUANTIZE_GGUF_CONFIG_H
#define PITH_QUANTIZE_GGUF_CONFIG_H

#include "model/config.h"
#include "model/model_file.h"

namespace pith::quantize {

using namespace internal;

struct GgufConfig {
  Config config;
  float rope_divisor = 1;         // of all frequencies: linear scaling
  bool needs_factors = false;     // LongRoPE's tensors
  int32_t n_extra_layers = 0;     // after the last: they predict further tokens, and are not read
  bool has_long_factors = false;  // LongRoPE: the model's context is longer than the original one
};

// Throws std::runtime_error that names the key: for an architecture that pith does not know, for what is missing or out of
// range, and for every key of the architecture that is not known to leave the result alone.
// `tensors`: what those of all files of a model tell of it.
struct GgufTensorFacts {
  uint64_t embedding_rows;  // of token_embd
  bool has_corrections;     // scores of experts are corrected, to choose: exp_probs_b
};
GgufConfig config_of_gguf(const ModelFile& file, const GgufTensorFacts& tensors);

}  // namespace pith::quantize

#endif
