#include "forward_trace.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <fmt/core.h>

#include "document.h"
#include "pith/pith.hpp"

namespace pith::parity {
namespace {

constexpr long kMaxLayers = 1024;  // as in a model file
constexpr const char* kFormat = "pith-trace 1";
constexpr const char* kLayerTensors[] = {"attn_in", "q",     "c",        "k_rope", "gate",   "k",       "v",
                                         "scores",  "heads", "attn_out", "ffn_in", "router", "experts", "ffn_out"};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw std::runtime_error(fmt::format("trace {}: {}", path, why));
}

template <typename Stored, typename Number>
std::vector<Number> widen(const char* data, size_t n) {
  std::vector<Number> out(n);
  for (size_t i = 0; i < n; ++i) {
    Stored value;
    std::memcpy(&value, data + i * sizeof value, sizeof value);
    out[i] = Number(value);
  }
  return out;
}

struct Entry {
  std::string name, type;
  std::vector<int64_t> shape;
  size_t begin, end;  // bytes of the data
  size_t n;           // numbers
};

// One tensor of the header, held against the bytes that are there.
Entry entry_of(const std::string& path, const std::string& name, const json::Document& fields, size_t data_bytes) {
  Entry entry{name, fields["dtype"].string(), {}, 0, 0, 1};
  for (const json::Document& dim : fields["shape"].elements()) entry.shape.push_back(dim.integer());
  std::vector<size_t> offsets;
  for (const json::Document& offset : fields["data_offsets"].elements()) offsets.push_back(size_t(offset.natural()));
  const size_t width = entry.type == "F64" ? 8 : entry.type == "F32" || entry.type == "I32" ? 4 : 0;
  if (width == 0) refuse(path, fmt::format("tensor {}: type {} is none of F64, F32, I32", name, entry.type));
  for (const int64_t dim : entry.shape) {
    if (dim < 0 || uint64_t(dim) > data_bytes) refuse(path, fmt::format("tensor {}: dimension {}", name, dim));
    if (dim > 0 && entry.n > data_bytes / size_t(dim)) refuse(path, fmt::format("tensor {}: too large", name));
    entry.n *= size_t(dim);
  }
  if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes ||
      offsets[1] - offsets[0] != entry.n * width)
    refuse(path, fmt::format("tensor {}: its bytes do not fit its shape", name));
  entry.begin = offsets[0];
  entry.end = offsets[1];
  return entry;
}

void read_entries(const std::string& path, const json::Document& header, const char* data, size_t data_bytes,
                  ForwardTrace* trace) {
  size_t left = data_bytes;  // tensors have bytes of their own: a small file is no large trace
  for (const auto& [name, fields] : header.members()) {
    if (name == "__metadata__") {
      for (const auto& [key, value] : fields.members()) trace->provenance[key] = value.string();
      continue;
    }
    const Entry entry = entry_of(path, name, fields, data_bytes);
    if (entry.end - entry.begin > left) refuse(path, fmt::format("tensor {}: shares bytes with others", name));
    left -= entry.end - entry.begin;
    const char* first = data + entry.begin;
    if (name == "tokens") {
      if (entry.type != "I32") refuse(path, "tensor tokens: is not I32");
      trace->tokens = widen<int32_t, int32_t>(first, entry.n);
    } else if (entry.type != "I32") {
      trace->tensors[name] = {entry.shape, entry.type == "F64" ? widen<double, double>(first, entry.n)
                                                               : widen<float, double>(first, entry.n)};
    }
  }
}

}  // namespace

size_t TraceTensor::row_width() const {
  size_t n = 1;
  for (size_t i = 1; i < shape.size(); ++i) n *= size_t(shape[i]);
  return n;
}

const TraceTensor* ForwardTrace::find(const std::string& name) const {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

TraceTensor& ForwardTrace::make(const std::string& name, const std::vector<int64_t>& shape) {
  TraceTensor& tensor = tensors[name];
  if (!tensor.shape.empty()) return tensor;
  tensor.shape = {int64_t(tokens.size())};
  tensor.shape.insert(tensor.shape.end(), shape.begin(), shape.end());
  tensor.x.resize(tokens.size() * tensor.row_width());
  return tensor;
}

int32_t ForwardTrace::n_layers() const {
  int32_t n = 0;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with("layer."))
      n = std::max(n, int32_t(std::clamp(std::strtol(name.c_str() + 6, nullptr, 10), -1L, kMaxLayers)) + 1);
  }
  return n;
}

std::string layer_name(int32_t layer, const std::string& tensor) { return fmt::format("layer.{}.{}", layer, tensor); }

std::vector<std::string> names_in_order(int32_t n_layers) {
  std::vector<std::string> names = {"embedding"};
  for (int32_t layer = 0; layer < n_layers; ++layer) {
    for (const char* tensor : kLayerTensors) names.push_back(layer_name(layer, tensor));
  }
  names.insert(names.end(), {"output_in", "logits"});
  return names;
}

ForwardTrace parse_trace(const std::string& bytes, const std::string& path) {
  uint64_t header_bytes = 0;
  if (bytes.size() < sizeof header_bytes) refuse(path, "is not a safetensors file");
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  const size_t left = bytes.size() - sizeof header_bytes;
  if (header_bytes > left) refuse(path, "is not a safetensors file: its header is longer than the file");
  ForwardTrace trace;
  const char* header = bytes.data() + sizeof header_bytes;
  try {
    read_entries(path, json::Document::parse({header, size_t(header_bytes)}), header + header_bytes,
                 left - size_t(header_bytes), &trace);
  } catch (const json::Error& error) {
    refuse(path, fmt::format("its header is malformed: {}", error.what()));
  }
  if (trace.provenance["format"] != kFormat) refuse(path, fmt::format("its metadata has no format \"{}\"", kFormat));
  if (trace.n_layers() > kMaxLayers) refuse(path, fmt::format("a tensor's layer is beyond {}", kMaxLayers - 1));
  if (trace.tokens.empty()) refuse(path, "tensor tokens: missing or empty");
  for (const auto& [name, tensor] : trace.tensors) {
    if (tensor.shape.empty() || tensor.shape[0] != int64_t(trace.tokens.size()))
      refuse(path, fmt::format("tensor {}: has not a row for every token", name));
    for (const double x : tensor.x) {
      if (!std::isfinite(x)) refuse(path, fmt::format("tensor {}: holds a number that is not finite", name));
    }
  }
  return trace;
}

ForwardTrace read_trace(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path);  // a regular one: a pipe would block, and a device never end
  if (!file) refuse(path, file.error().message());
  return parse_trace(std::string(static_cast<const char*>(file->data()), file->size()), path);
}

std::string trace_bytes(const ForwardTrace& trace) {
  json::Document header;
  header["__metadata__"] = trace.provenance;
  header["__metadata__"]["format"] = kFormat;
  std::string data(trace.tokens.size() * sizeof(int32_t), '\0');
  std::memcpy(data.data(), trace.tokens.data(), data.size());
  header["tokens"] = {{"dtype", "I32"}, {"shape", {trace.tokens.size()}}, {"data_offsets", {0, data.size()}}};
  for (const auto& [name, tensor] : trace.tensors) {
    const size_t begin = data.size();
    for (const double x : tensor.x) {
      const float value = float(x);
      data.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t header_bytes = text.size();
  return std::string(reinterpret_cast<const char*>(&header_bytes), sizeof header_bytes) + text + data;
}

}  // namespace pith::parity
