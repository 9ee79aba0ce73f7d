// The model that the command carries: tools/model/m.q4.gguf, as bytes of the program.
#ifndef PITH_CLI_BUILTIN_MODEL_H
#define PITH_CLI_BUILTIN_MODEL_H

#include <cstddef>

namespace pith::cli {

const void* builtin_model();  // 64-byte aligned
size_t builtin_model_bytes();

}  // namespace pith::cli

#endif
