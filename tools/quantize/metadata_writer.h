// A configuration as the metadata keys of a model file, and back from JSON.
#ifndef PITH_QUANTIZE_METADATA_WRITER_H
#define PITH_QUANTIZE_METADATA_WRITER_H

#include <nlohmann/json.hpp>

#include "config.h"
#include "gguf_writer.h"

namespace pith {

// general.architecture and the keys "egmla.*" that read_config reads.
void write_config(const Config& config, GgufWriter* writer);

// From an object of keys without "egmla.". Checked as a model file would be; throws std::runtime_error naming the key.
Config config_from_json(const nlohmann::json& object);

// tokenizer.ggml.*: <|endoftext|>, the 256 bytes, then tokens that are merges of two earlier ones, all distinct.
void write_byte_vocabulary(int32_t vocab_size, GgufWriter* writer);

}  // namespace pith

#endif
