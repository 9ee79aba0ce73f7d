// The model behind the C handle: directory, configuration and weights of one packed file.
#ifndef PITH_MODEL_MODEL_H
#define PITH_MODEL_MODEL_H

#include "model/config.h"
#include "model/model_file.h"
#include "model/weights.h"

struct pith_model {
  const uint8_t* bytes;  // of the file
  pith::internal::ModelFile file;
  pith::internal::Config config;
  pith::internal::Weights weights;
};

namespace pith::internal {

// The bodies of pith_model_bytes and pith_model_init; the arguments are checked.
pith_status model_bytes(const void* data, size_t size, size_t* out_bytes, pith_error* error);
pith_status model_init(const void* data, size_t size, void* memory, pith_model** out_model, pith_error* error);

}  // namespace pith::internal

#endif
