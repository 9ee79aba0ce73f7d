#include "integrity.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/core.h>

#include "file_hash.h"
#include "sha256.h"

namespace pith::cli {

using namespace quantize;
namespace {

using Bytes = std::span<const uint8_t>;
using Place = std::pair<size_t, size_t>;  // first byte, and the one after the last

std::vector<Place> check_tensors(const Model& model, Bytes file, std::vector<std::string>* different) {
  std::vector<Place> places;
  for (size_t i = 0; i < model.tensor_count(); ++i) {
    const pith_tensor tensor = model.tensor(i);
    const size_t first = size_t(static_cast<const uint8_t*>(tensor.data) - file.data());
    places.emplace_back(first, first + size_t(tensor.data_bytes));
    if (sha256_hex(tensor.data, size_t(tensor.data_bytes)) != std::string_view(tensor.sha256, 64))
      different->push_back(fmt::format("tensor {}", std::string_view(tensor.name, tensor.name_bytes)));
  }
  std::sort(places.begin(), places.end());
  return places;
}

// The padding after each, which nothing reads and which is zeros.
void check_gaps(const std::vector<Place>& places, Bytes file, std::vector<std::string>* different) {
  for (size_t i = 0; i < places.size(); ++i) {
    const size_t end = i + 1 < places.size() ? places[i + 1].first : file.size();
    const Bytes gap = file.subspan(places[i].second, end - places[i].second);
    if (std::any_of(gap.begin(), gap.end(), [](uint8_t byte) { return byte != 0; }))
      different->push_back(fmt::format("the {} bytes from {} on, between tensors", gap.size(), places[i].second));
  }
}

}  // namespace

Integrity integrity_of(const Model& model, const ModelBytes& bytes) {
  const Bytes file(static_cast<const uint8_t*>(bytes.data()), bytes.size());
  Integrity out{};
  const std::vector<Place> places = check_tensors(model, file, &out.different);
  check_gaps(places, file, &out.different);
  const Bytes header = file.first(places.empty() ? file.size() : places.front().first);
  const std::string stored = stored_header_hash(header);
  out.has_header_hash = !stored.empty();
  if (out.has_header_hash && stored != header_hash(header)) out.different.push_back("the header");
  return out;
}

}  // namespace pith::cli
