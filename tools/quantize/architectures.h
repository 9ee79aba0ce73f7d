// What files of other programs do not say of a model: facts of its architecture, each with its source.
#ifndef PITH_QUANTIZE_ARCHITECTURES_H
#define PITH_QUANTIZE_ARCHITECTURES_H

#include <string>
#include <string_view>

#include "model/config.h"

namespace pith::quantize {

using namespace internal;

struct Architecture {
  const char* gguf;        // general.architecture, as llama.cpp writes it
  const char* model_type;  // of Hugging Face's config.json
  AttentionKind attention;
  // Whether rotated pairs are neighbours, (2i, 2i + 1). llama.cpp permutes the rows of q and k of `llama`, so that the two
  // kinds of files differ.
  bool interleaved_in_gguf, interleaved_in_hugging_face;
  FeedForward feed_forward;
  HeadNorm head_norm;
  float rope_base;  // where the file does not say
};

// The architecture of a GGUF file, or of a config.json; NULL if pith does not know it. Several model types are one
// architecture of GGUF, which agree in what holds for it.
const Architecture* find_gguf_architecture(std::string_view name);
const Architecture* find_model_type(std::string_view model_type);

std::string gguf_architecture_list();  // with commas
std::string model_type_list();         // with commas

}  // namespace pith::quantize

#endif
