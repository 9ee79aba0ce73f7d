// A Hugging Face folder as a source of a model: config.json and model.safetensors, or its shards, and the tokenizer's files.
#ifndef PITH_QUANTIZE_HF_SOURCE_H
#define PITH_QUANTIZE_HF_SOURCE_H

#include <memory>
#include <string>
#include <string_view>

#include "model_source.h"

namespace pith::quantize {

// Throws std::runtime_error for a folder that cannot be read, or whose model pith cannot run as it is, with a sentence that
// names the file and the key or tensor.
std::unique_ptr<ModelSource> open_hugging_face(const std::string& folder);

// "model.layers.3.self_attn.q_proj.weight" of "blk.3.attn_q.weight"; empty for a tensor that such folders do not have. Every
// matrix of a stack is a tensor there.
std::string hugging_face_name(const TensorSpec& spec, int32_t matrix = 0);

}  // namespace pith::quantize

#endif
