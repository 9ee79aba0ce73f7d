#include "sparse_model.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "gguf_writer.h"
#include "pack.h"
#include "pages.h"
#include "synth.h"

namespace pith::cli {

std::optional<SparseModel> SparseModel::of_shape(const std::string& name) {
  std::error_code ignored;
  const std::optional<quantize::SynthSpec> spec = quantize::named_spec(name);
  if (!spec || std::filesystem::exists(name, ignored)) return std::nullopt;
  const quantize::PackOutline outline = quantize::synth_outline(*spec, quantize::pack_options("q4"));
  return SparseModel(outline.header, quantize::in_memory(outline.file_bytes));
}

SparseModel::SparseModel(const std::vector<uint8_t>& header, size_t bytes)
    : data_(internal::reserve_addresses(bytes, header.size())), bytes_(bytes) {
  if (data_ == nullptr) throw std::runtime_error(fmt::format("{} bytes of addresses: {}", bytes, std::strerror(errno)));
  std::memcpy(data_, header.data(), header.size());
}

SparseModel::SparseModel(SparseModel&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}

SparseModel::~SparseModel() {
  if (data_ != nullptr) internal::release_addresses(data_, bytes_);
}

}  // namespace pith::cli
