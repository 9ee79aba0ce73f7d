// The model behind the C handle: directory, configuration and weights of one packed file.
#ifndef PITH_MODEL_H
#define PITH_MODEL_H

#include "config.h"
#include "model_file.h"
#include "weights.h"

struct pith_model {
  const uint8_t* bytes;  // of the file
  pith::ModelFile file;
  pith::Config config;
  pith::Weights weights;
};

namespace pith {

// The bodies of pith_model_bytes and pith_model_init; the arguments are checked.
pith_status model_bytes(const void* data, size_t size, size_t* out_bytes, pith_error* error);
pith_status model_init(const void* data, size_t size, void* memory, pith_model** out_model, pith_error* error);

}  // namespace pith

#endif
