// From the config.json of a Hugging Face folder to a configuration.
#ifndef PITH_QUANTIZE_HF_CONFIG_H
#define PITH_QUANTIZE_HF_CONFIG_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "document.h"
#include "model/config.h"

namespace pith::quantize {

using namespace internal;

struct HfConfig {
  Config config;
  std::vector<float> rope_divisors;      // of the rotated pairs' frequencies, [d_r / 2]; or empty
  std::vector<std::string_view> biased;  // matrices of a layer that have a bias, as TensorList names them: "attn_q"
  std::optional<bool> is_tied;           // what tie_word_embeddings says
  int32_t n_extra_layers = 0;            // after the last: they predict further tokens, and are not read
  std::vector<std::string> notices;      // sentences for the user
};

// The JSON is untrusted. What would change the result and is not understood throws std::runtime_error with a sentence that
// names the key; values are held to the ranges of a model file.
//
// A key that nothing here knows is passed over with a notice, unless its name speaks of a part of the forward pass
// (attention, norm, scale, ...) and its value is neither null, false, nor empty.
HfConfig read_hf_config(const json::Document& document);

}  // namespace pith::quantize

#endif
