// Models of random weights: named shapes and configurations of the user's own, for benchmarks and tests.
#ifndef PITH_QUANTIZE_SYNTH_H
#define PITH_QUANTIZE_SYNTH_H

#include <cstdint>
#include <string>
#include <vector>

#include "config.h"

namespace pith {

struct SynthSpec {
  std::string name;
  Config config;
  bool tied = false;        // no output.weight
  bool biases = false;      // a bias on every linear that may have one
  uint64_t seed = 1;
};

// The spec of a named shape ("paper-kv64", ...), or of a JSON file whose keys are the metadata keys of the model file.
// Throws std::runtime_error with a sentence that names the key.
SynthSpec synth_spec(const std::string& shape_or_json_path);
std::vector<std::string> synth_shape_names();

// A float32 GGUF file of the spec. Gammas are near 1 and betas near 0 but neither exactly; weights are scaled so that
// activations and logits have magnitude about 1. Has a byte-level vocabulary of config.vocab_size >= 257 tokens.
std::vector<uint8_t> synth_float(const SynthSpec& spec);

}  // namespace pith

#endif
