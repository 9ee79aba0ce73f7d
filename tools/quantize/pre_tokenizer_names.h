// Names of how a tokenizer splits text before it merges.
#ifndef PITH_QUANTIZE_PRE_TOKENIZER_NAMES_H
#define PITH_QUANTIZE_PRE_TOKENIZER_NAMES_H

#include <string>

#include "document.h"

namespace pith::quantize {

// tokenizer.ggml.pre of a tokenizer.json, found by its `normalizer`, `pre_tokenizer` and the merges' `ignore_merges`;
// "unknown" for one that is none of those known here. Throws json::Error where the JSON is malformed.
std::string pre_tokenizer_name(const json::Document& tokenizer);

}  // namespace pith::quantize

#endif
