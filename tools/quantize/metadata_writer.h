// A configuration as the metadata keys of a model file, and back from JSON.
#ifndef PITH_QUANTIZE_METADATA_WRITER_H
#define PITH_QUANTIZE_METADATA_WRITER_H

#include "document.h"
#include "gguf_writer.h"
#include "model/config.h"

namespace pith::quantize {

using namespace internal;

// general.architecture and the keys "egmla.*" that read_config reads.
void write_config(const Config& config, GgufWriter* writer);

// The configuration, held to the rules of a model file; throws std::runtime_error naming the key.
Config checked_config(const Config& config);

// From an object of keys, with or without "egmla.". Checked as a model file would be, and for unknown keys; throws
// std::runtime_error naming the key.
Config config_from_json(const json::Document& object);

}  // namespace pith::quantize

#endif
