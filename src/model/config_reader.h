// From the metadata of a model file to its Config.
#ifndef PITH_MODEL_CONFIG_READER_H
#define PITH_MODEL_CONFIG_READER_H

#include "model/config.h"
#include "model/model_file.h"

namespace pith::internal {

// Reads and checks the hyper-parameters: afterwards n_h (d_n + d_r + d_v) and n_h r are at most 2^24.
pith_status read_config(const ModelFile& file, Config* config, pith_error* error);

}  // namespace pith::internal

#endif
