// Models of random weights: named shapes and configurations of the user's own, for benchmarks and tests.
#ifndef PITH_QUANTIZE_SYNTH_H
#define PITH_QUANTIZE_SYNTH_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "gguf_writer.h"
#include "pack.h"

namespace pith::quantize {

using namespace internal;

struct SynthSpec {
  std::string name;
  Config config;
  bool tied = false;    // no output.weight
  bool biases = false;  // with the biases that a model may have or not: of linears, of an RMS norm_g
  uint64_t seed = 1;
  bool qkv_biases = false;  // with those of the matrices of queries, keys and values alone
};

// The spec of a named shape ("paper-kv64", ...), or of a JSON file whose keys are those of the model file ("egmla." may be
// left out), "tied", "biases" and "qkv_biases". Throws std::runtime_error with a sentence that names the key.
SynthSpec synth_spec(const std::string& shape_or_json_path);
std::optional<SynthSpec> named_spec(const std::string& name);  // of a named shape alone
std::vector<std::string> synth_shape_names();
std::string synth_shape_list();  // with commas

// A float32 GGUF file of the spec: matrices of variance 1 / columns, so that activations have magnitude about 1, gammas
// around 1 and betas around 0. Has a byte-level vocabulary of config.vocab_size >= 257 tokens. The same bytes for the same
// spec on every machine. `sink` receives the file; one tensor is in memory at a time.
void synth_float(const SynthSpec& spec, const ByteSink& sink);
std::vector<uint8_t> synth_float(const SynthSpec& spec);

// The same, folded and packed, some rows at a time: for models that do not fit into memory as floats. Experts in integers are
// drawn as codes, of the same variance.
void synth_packed(const SynthSpec& spec, const PackOptions& options, const PackSink& sink);

// The same without its weights.
PackOutline synth_outline(const SynthSpec& spec, const PackOptions& options);

}  // namespace pith::quantize

#endif
