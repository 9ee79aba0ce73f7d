// pith verify: do the tensors, and all that stands before them, still have the hashes that were stored with them?
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "commands.h"
#include "file_hash.h"
#include "opened_check.h"
#include "sha256.h"
#include "standard_streams.h"

namespace pith::cli {

using namespace quantize;
namespace {

struct Verification {
  const Model& model;
  std::span<const uint8_t> file;
  std::vector<std::string> different = {};

  void report(const std::string& what) {
    different.push_back(what);
    tell("pith: {}: its bytes do not have the stored SHA-256; get the file again\n", what);
  }

  // The tensors, and the padding after each, which nothing reads and which is zeros.
  void check_tensors() {
    std::vector<std::pair<size_t, size_t>> places;  // first and last byte
    for (size_t i = 0; i < model.tensor_count(); ++i) {
      const pith_tensor tensor = model.tensor(i);
      const size_t first = size_t(static_cast<const uint8_t*>(tensor.data) - file.data());
      places.emplace_back(first, first + size_t(tensor.data_bytes));
      if (sha256_hex(tensor.data, size_t(tensor.data_bytes)) != std::string_view(tensor.sha256, 64))
        report(fmt::format("tensor {}", std::string_view(tensor.name, tensor.name_bytes)));
    }
    std::sort(places.begin(), places.end());
    begin = places.empty() ? file.size() : places.front().first;
    for (size_t i = 0; i < places.size(); ++i) {
      const size_t end = i + 1 < places.size() ? places[i + 1].first : file.size();
      const auto gap = file.subspan(places[i].second, end - places[i].second);
      if (std::any_of(gap.begin(), gap.end(), [](uint8_t byte) { return byte != 0; }))
        report(fmt::format("the {} bytes from {} on, between tensors", gap.size(), places[i].second));
    }
  }

  // False where a file has no such hash, as before version 0.3.1 of the command.
  bool check_header() {
    const std::span<const uint8_t> header = file.first(begin);
    const std::string stored = stored_header_hash(header);
    if (!stored.empty() && stored != header_hash(header)) report("the header");
    return !stored.empty();
  }

  size_t begin = 0;  // of the first tensor
};

}  // namespace

int verify(const VerifyOptions& options) {
  const ModelBytes bytes = options.model.bytes();
  const Model model = Model::view(bytes.data(), bytes.size());
  Verification of{model, {static_cast<const uint8_t*>(bytes.data()), bytes.size()}};
  of.check_tensors();
  const bool has_header_hash = of.check_header();
  (void)check_vocabulary(model);
  const size_t n = model.tensor_count();
  if (options.json) {
    print_json(
        {{"model", options.model.name()}, {"tensors", n}, {"header", has_header_hash}, {"different", of.different}});
  } else if (of.different.empty()) {
    print("{}: {} tensors{} have their stored hashes\n", options.model.name(), n,
          has_header_hash ? " and the header" : "");
    if (!has_header_hash) tell("note: no hash of the header is stored; pack the model again to have one\n");
  }
  return of.different.empty() ? 0 : 1;
}

}  // namespace pith::cli
