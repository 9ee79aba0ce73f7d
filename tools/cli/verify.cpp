// pith verify: does every tensor still have the hash that was stored with it?
#include <fmt/core.h>

#include "commands.h"
#include "standard_streams.h"
#include "sha256.h"

namespace pith::cli {

using namespace quantize;

int verify(const VerifyOptions& options) {
  const Model model = options.model.load();
  std::vector<std::string> different;
  const size_t n = model.tensor_count();
  for (size_t i = 0; i < n; ++i) {
    const pith_tensor tensor = model.tensor(i);
    const std::string name(tensor.name, tensor.name_bytes);
    if (sha256_hex(tensor.data, size_t(tensor.data_bytes)) == std::string_view(tensor.sha256, 64)) continue;
    different.push_back(name);
    tell("pith: tensor {}: its bytes do not have the stored SHA-256; get the file again\n", name);
  }
  if (options.json) print_json({{"model", options.model.name()}, {"tensors", n}, {"different", different}});
  else if (different.empty()) print("{}: {} tensors have their stored hashes\n", options.model.name(), n);
  return different.empty() ? 0 : 1;
}

}  // namespace pith::cli
