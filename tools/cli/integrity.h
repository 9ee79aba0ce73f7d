// Whether a model's bytes are those that were packed.
#ifndef PITH_CLI_INTEGRITY_H
#define PITH_CLI_INTEGRITY_H

#include <string>
#include <vector>

#include "options.h"

namespace pith::cli {

struct Integrity {
  std::vector<std::string> different;  // what does not have its stored hash: "tensor NAME", "the header", ...
  bool has_header_hash;                // older files have none
};
// Reads the whole file.
Integrity integrity_of(const Model& model, const ModelBytes& bytes);

}  // namespace pith::cli

#endif
