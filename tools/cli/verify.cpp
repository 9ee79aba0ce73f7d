// pith verify: do the tensors, and all that stands before them, still have the hashes that were stored with them?
#include <fmt/core.h>

#include "commands.h"
#include "integrity.h"
#include "opened_check.h"
#include "standard_streams.h"

namespace pith::cli {

int verify(const VerifyOptions& options) {
  const ModelBytes bytes(options.model.path);
  const Model model = Model::view(bytes.data(), bytes.size());
  const Integrity found = integrity_of(model, bytes);
  for (const std::string& what : found.different)
    tell("pith: {}: its bytes do not have the stored SHA-256; get the file again\n", what);
  (void)check_vocabulary(model);
  const size_t n = model.tensor_count();
  if (options.json) {
    print_json({{"model", options.model.name()},
                {"tensors", n},
                {"header", found.has_header_hash},
                {"different", found.different}});
  } else if (found.different.empty()) {
    print("{}: {} tensors{} have their stored hashes\n", options.model.name(), n,
          found.has_header_hash ? " and the header" : "");
    if (!found.has_header_hash) tell("note: no hash of the header is stored; pack the model again to have one\n");
  }
  return found.different.empty() ? 0 : 1;
}

}  // namespace pith::cli
