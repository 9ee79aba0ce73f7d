// pith verify: does every tensor still have the hash that was stored with it?
#include <fmt/format.h>

#include "options.h"
#include "sha256.h"

namespace pith::cli {

using namespace quantize;
namespace {

void verify(const ModelOption& option, bool json, int* status) {
  const Model model = option.load();
  std::vector<std::string> different;
  const size_t n = model.tensor_count();
  for (size_t i = 0; i < n; ++i) {
    const pith_tensor tensor = model.tensor(i);
    const std::string name(tensor.name, tensor.name_bytes);
    if (sha256_hex(tensor.data, size_t(tensor.data_bytes)) == std::string_view(tensor.sha256, 64)) continue;
    different.push_back(name);
    fmt::print(stderr, "pith: tensor {}: its bytes do not have the stored SHA-256; get the file again\n", name);
  }
  *status = different.empty() ? 0 : 1;
  if (json) print_json({{"model", option.name()}, {"tensors", n}, {"different", different}});
  else if (different.empty()) fmt::print("{}: {} tensors have their stored hashes\n", option.name(), n);
}

}  // namespace

void add_verify(CLI::App* app, int* status) {
  struct Options {
    ModelOption model;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand("verify", "Compare every tensor with its stored hash");
  options->model.add_to(command);
  command->add_flag("--json", options->json, "One JSON document");
  command->callback([options, status] { verify(options->model, options->json, status); });
}

}  // namespace pith::cli
