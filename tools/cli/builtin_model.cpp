#include "builtin_model.h"

#include "embedded_file.h"

// PITH_BUILTIN_MODEL is the path of the packed file.
PITH_EMBED_FILE(pith_builtin_model, PITH_BUILTIN_MODEL)

namespace pith::cli {

const void* builtin_model() { return pith_builtin_model; }
size_t builtin_model_bytes() { return size_t(pith_builtin_model_bytes); }

}  // namespace pith::cli
