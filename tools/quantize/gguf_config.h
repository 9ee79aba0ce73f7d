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
  bool has_long_factors = false;  // LongRoPE: the model's context is longer than the original one
};

// Throws std::runtime_error that names the key: for an architecture that pith does not know, for what is missing or out of
// range, and for every key of the architecture that is not known to leave the result alone.
// embedding_rows: of token_embd, which is in one of the files of a model.
GgufConfig config_of_gguf(const ModelFile& file, uint64_t embedding_rows);

}  // namespace pith::quantize

#endif
