// Whether the library takes a model that a command has written or looked at, vocabulary included.
#ifndef PITH_CLI_OPENED_CHECK_H
#define PITH_CLI_OPENED_CHECK_H

#include <string>

#include "pith/pith.hpp"

namespace pith::cli {

// Throws std::runtime_error for tokens, merges or ids that do not fit together. Returns why the model runs from token ids
// alone, or nothing.
std::string check_vocabulary(const Model& model);

// The same of a file, which must open as a model.
std::string check_model_file(const std::string& path);

}  // namespace pith::cli

#endif
