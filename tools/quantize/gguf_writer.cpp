#include "gguf_writer.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace pith::quantize {
namespace {

template <typename T>
void append(std::vector<uint8_t>* out, T value) {
  const size_t at = out->size();
  out->resize(at + sizeof value);
  std::memcpy(out->data() + at, &value, sizeof value);  // pith builds for little-endian machines only
}

void append_string(std::vector<uint8_t>* out, std::string_view text) {
  append(out, uint64_t(text.size()));
  out->insert(out->end(), text.begin(), text.end());
}

uint64_t shape_bytes(std::string_view name, TensorType type, const std::vector<uint64_t>& dims) {
  const uint64_t block = block_elements(type);
  uint64_t bytes = block_bytes(type);
  bool good = bytes != 0 && !dims.empty() && dims.size() <= 4 && dims[0] % block == 0;
  for (size_t i = 0; good && i < dims.size(); ++i)
    good = dims[i] != 0 && !__builtin_mul_overflow(bytes, i == 0 ? dims[0] / block : dims[i], &bytes);
  if (!good) throw std::runtime_error("tensor " + std::string(name) + ": not a shape that GGUF can hold");
  return bytes;
}

}  // namespace

size_t in_memory(uint64_t bytes) {
  const size_t out = size_t(bytes);
  if (out != bytes) throw std::runtime_error(fmt::format("{} bytes; this program has addresses of 32 bits", bytes));
  return out;
}

GgufWriter::GgufWriter(uint32_t alignment) : alignment_(alignment) {
  if (alignment < 8 || (alignment & (alignment - 1)) != 0)
    throw std::runtime_error("alignment is not a power of two >= 8");
  if (alignment != 32) add_u32("general.alignment", alignment);
}

void GgufWriter::put(std::string_view key, uint32_t type, std::vector<uint8_t> value) {
  const auto [place, is_new] = entry_places_.try_emplace(std::string(key), entries_.size());
  if (is_new) entries_.emplace_back();
  entries_[place->second] = {std::string(key), type, std::move(value)};
}

template <typename T>
void GgufWriter::add_scalar(std::string_view key, GgufType type, T value) {
  std::vector<uint8_t> bytes;
  append(&bytes, value);
  put(key, uint32_t(type), std::move(bytes));
}

template <typename T>
void GgufWriter::add_array(std::string_view key, GgufType element_type, const std::vector<T>& values) {
  std::vector<uint8_t> bytes;
  append(&bytes, uint32_t(element_type));
  append(&bytes, uint64_t(values.size()));
  const auto* first = reinterpret_cast<const uint8_t*>(values.data());
  bytes.insert(bytes.end(), first, first + values.size() * sizeof(T));
  put(key, uint32_t(GgufType::array), std::move(bytes));
}

void GgufWriter::add_u32(std::string_view key, uint32_t value) { add_scalar(key, GgufType::u32, value); }
void GgufWriter::add_i32(std::string_view key, int32_t value) { add_scalar(key, GgufType::i32, value); }
void GgufWriter::add_u64(std::string_view key, uint64_t value) { add_scalar(key, GgufType::u64, value); }
void GgufWriter::add_i64(std::string_view key, int64_t value) { add_scalar(key, GgufType::i64, value); }
void GgufWriter::add_f32(std::string_view key, float value) { add_scalar(key, GgufType::f32, value); }
void GgufWriter::add_f64(std::string_view key, double value) { add_scalar(key, GgufType::f64, value); }
void GgufWriter::add_bool(std::string_view key, bool value) { add_scalar(key, GgufType::boolean, uint8_t(value)); }

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  std::vector<uint8_t> bytes;
  append_string(&bytes, value);
  put(key, uint32_t(GgufType::string), std::move(bytes));
}

void GgufWriter::add_array_of_strings(std::string_view key, const std::vector<std::string>& values) {
  std::vector<uint8_t> bytes;
  append(&bytes, uint32_t(GgufType::string));
  append(&bytes, uint64_t(values.size()));
  for (const std::string& value : values) append_string(&bytes, value);
  put(key, uint32_t(GgufType::array), std::move(bytes));
}

void GgufWriter::add_array_u8(std::string_view key, const std::vector<uint8_t>& values) {
  add_array(key, GgufType::u8, values);
}
void GgufWriter::add_array_u32(std::string_view key, const std::vector<uint32_t>& values) {
  add_array(key, GgufType::u32, values);
}
void GgufWriter::add_array_i32(std::string_view key, const std::vector<int32_t>& values) {
  add_array(key, GgufType::i32, values);
}
void GgufWriter::add_array_u64(std::string_view key, const std::vector<uint64_t>& values) {
  add_array(key, GgufType::u64, values);
}
void GgufWriter::add_array_i64(std::string_view key, const std::vector<int64_t>& values) {
  add_array(key, GgufType::i64, values);
}
void GgufWriter::add_array_f32(std::string_view key, const std::vector<float>& values) {
  add_array(key, GgufType::f32, values);
}

void GgufWriter::add_entry(const MetaEntry& entry) {
  std::vector<uint8_t> value;
  if (entry.type == GgufType::array) {
    append(&value, uint32_t(entry.element_type));
    append(&value, entry.count);
  }
  value.insert(value.end(), entry.value, entry.value + entry.value_bytes);
  put(entry.key, uint32_t(entry.type), std::move(value));
}

void GgufWriter::add_raw(std::string_view key, uint32_t type, std::span<const uint8_t> value) {
  put(key, type, std::vector<uint8_t>(value.begin(), value.end()));
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::vector<uint64_t> dims,
                            std::span<const uint8_t> bytes) {
  if (bytes.size() != shape_bytes(name, type, dims))
    throw std::runtime_error("tensor " + std::string(name) + ": its data has another size than its shape");
  add_tensor(name, type, std::move(dims), [bytes](uint8_t* out) { std::memcpy(out, bytes.data(), bytes.size()); });
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::vector<uint64_t> dims, Fill fill) {
  const uint64_t bytes = shape_bytes(name, type, dims);
  if (!tensor_names_.emplace(name).second) throw std::runtime_error("tensor " + std::string(name) + ": added twice");
  tensors_.push_back({std::string(name), type, std::move(dims), bytes, data_bytes_, std::move(fill)});
  data_bytes_ += padded(bytes);
}

void GgufWriter::add_tensor_f32(std::string_view name, std::vector<uint64_t> dims, std::span<const float> values) {
  if (values.size_bytes() != shape_bytes(name, TensorType::f32, dims))
    throw std::runtime_error("tensor " + std::string(name) + ": its data has another size than its shape");
  std::vector<float> copy(values.begin(), values.end());
  add_tensor(name, TensorType::f32, std::move(dims),
             [copy = std::move(copy)](uint8_t* out) { std::memcpy(out, copy.data(), copy.size() * sizeof(float)); });
}

uint64_t GgufWriter::header_bytes() const {
  uint64_t bytes = 4 + 4 + 8 + 8;
  for (const Entry& entry : entries_) bytes += 8 + entry.key.size() + 4 + entry.value.size();
  for (const Tensor& tensor : tensors_) bytes += 8 + tensor.name.size() + 4 + 8 * tensor.dims.size() + 4 + 8;
  return padded(bytes);
}

std::vector<uint8_t> GgufWriter::header() const {
  std::vector<uint8_t> out = {'G', 'G', 'U', 'F'};
  append(&out, uint32_t(3));
  append(&out, uint64_t(tensors_.size()));
  append(&out, uint64_t(entries_.size()));
  for (const Entry& entry : entries_) {
    append_string(&out, entry.key);
    append(&out, entry.type);
    out.insert(out.end(), entry.value.begin(), entry.value.end());
  }
  for (const Tensor& tensor : tensors_) {
    append_string(&out, tensor.name);
    append(&out, uint32_t(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims) append(&out, dim);
    append(&out, uint32_t(tensor.type));
    append(&out, tensor.offset);
  }
  out.resize(in_memory(padded(out.size())));
  return out;
}

void GgufWriter::write(const ByteSink& sink) const {
  const std::vector<uint8_t> head = header();
  sink(head.data(), head.size());
  std::vector<uint8_t> buffer;
  for (const Tensor& tensor : tensors_) {
    buffer.assign(in_memory(padded(tensor.bytes)), 0);
    tensor.fill(buffer.data());
    sink(buffer.data(), buffer.size());
  }
}

std::vector<uint8_t> GgufWriter::bytes() const {
  std::vector<uint8_t> out;
  out.reserve(in_memory(file_bytes()));
  write([&out](const void* data, size_t bytes) {
    const auto* first = static_cast<const uint8_t*>(data);
    out.insert(out.end(), first, first + bytes);
  });
  return out;
}

}  // namespace pith::quantize
