#include "safetensors.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include <fmt/core.h>

#include "document.h"
#include "half.h"

namespace pith::quantize {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // bytes, the format's own limit
constexpr size_t kMaxRank = 8;

struct Dtype {
  std::string_view name;
  uint64_t bytes;  // of a number
  StoredType type;
};

constexpr Dtype kDtypes[] = {
    {"F32", 4, StoredType::f32},       {"F16", 2, StoredType::f16},       {"BF16", 2, StoredType::bf16},
    {"F64", 8, StoredType::other},     {"I64", 8, StoredType::other},     {"I32", 4, StoredType::other},
    {"I16", 2, StoredType::other},     {"I8", 1, StoredType::other},      {"U64", 8, StoredType::other},
    {"U32", 4, StoredType::other},     {"U16", 2, StoredType::other},     {"U8", 1, StoredType::other},
    {"BOOL", 1, StoredType::other},    {"C64", 8, StoredType::other},     {"F8_E4M3", 1, StoredType::other},
    {"F8_E5M2", 1, StoredType::other}, {"F8_E8M0", 1, StoredType::other},
};

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw std::runtime_error(fmt::format("tensor {}: {}", json::quoted(name), why));
}

const Dtype& find_dtype(const std::string& tensor, const std::string& name) {
  const auto found =
      std::find_if(std::begin(kDtypes), std::end(kDtypes), [&](const Dtype& d) { return d.name == name; });
  if (found == std::end(kDtypes)) refuse(tensor, fmt::format("dtype {} is not known", json::quoted(name)));
  return *found;
}

// Bytes of `n` numbers; every factor is held against what may come before it multiplies.
uint64_t checked_bytes(StoredTensor* t, uint64_t number_bytes, uint64_t data_bytes) {
  t->n = 1;
  for (const uint64_t dim : t->shape) {
    if (__builtin_mul_overflow(t->n, dim, &t->n)) refuse(t->name, "the product of its dimensions is above 2^64");
  }
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(t->n, number_bytes, &bytes) || bytes > data_bytes)
    refuse(t->name, fmt::format("its shape asks for more than the {} bytes of the file's numbers", data_bytes));
  return bytes;
}

StoredTensor tensor_of(const std::string& name, const json::Document& fields, std::span<const uint8_t> data) {
  StoredTensor t;
  t.name = name;
  const Dtype& dtype = find_dtype(name, fields["dtype"].string());
  t.type = dtype.type;
  t.dtype = dtype.name;
  for (const json::Document& dim : fields["shape"].elements()) t.shape.push_back(dim.natural());
  if (t.shape.size() > kMaxRank)
    refuse(name, fmt::format("{} dimensions; at most {} are read", t.shape.size(), kMaxRank));
  const std::vector<json::Document>& offsets = fields["data_offsets"].elements();
  if (offsets.size() != 2) refuse(name, fmt::format("data_offsets has {} numbers, not 2", offsets.size()));
  const uint64_t begin = offsets[0].natural(), end = offsets[1].natural();
  if (begin > end || end > data.size())
    refuse(name,
           fmt::format("data_offsets {} to {} are not within the file's {} bytes of numbers", begin, end, data.size()));
  const uint64_t bytes = checked_bytes(&t, dtype.bytes, data.size());
  if (end - begin != bytes) refuse(name, fmt::format("data_offsets span {} bytes, its shape {}", end - begin, bytes));
  t.bytes = data.subspan(size_t(begin), size_t(bytes));
  return t;
}

// No byte belongs to two tensors, and none to no tensor.
void check_tiling(const std::vector<StoredTensor>& tensors, std::span<const uint8_t> data) {
  std::vector<const StoredTensor*> order;
  for (const StoredTensor& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(), [](const StoredTensor* a, const StoredTensor* b) {
    return a->bytes.data() != b->bytes.data() ? a->bytes.data() < b->bytes.data() : a->bytes.size() < b->bytes.size();
  });
  const uint8_t* next = data.data();
  for (const StoredTensor* t : order) {
    if (t->bytes.data() < next) refuse(t->name, "its bytes are another tensor's as well");
    if (t->bytes.data() > next)
      refuse(t->name, fmt::format("{} bytes before it belong to no tensor", t->bytes.data() - next));
    next += t->bytes.size();
  }
  if (next != data.data() + data.size())
    throw std::runtime_error(fmt::format("{} bytes at its end belong to no tensor", data.data() + data.size() - next));
}

std::vector<StoredTensor> tensors_of(std::string_view header, std::span<const uint8_t> data) {
  std::vector<StoredTensor> tensors;
  const json::Document document = json::Document::parse(header);
  for (const auto& [name, fields] : document.members()) {
    if (name == "__metadata__") continue;
    try {
      tensors.push_back(tensor_of(name, fields, data));
    } catch (const json::Error& error) {
      refuse(name, fmt::format("its entry in the header {}", error.what()));
    }
  }
  return tensors;
}

template <typename Bits, typename Convert>
void convert(const uint8_t* from, uint64_t n, float* out, const Convert& to_float) {
  for (uint64_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, from + i * sizeof bits, sizeof bits);
    out[i] = to_float(bits);
  }
}

}  // namespace

void StoredTensor::read(uint64_t first, uint64_t count, float* out) const {
  const uint8_t* from = bytes.data() + first * uint64_t(bits() / 8);
  switch (type) {
    case StoredType::f32: convert<float>(from, count, out, [](float value) { return value; }); break;
    case StoredType::f16:
      convert<uint16_t>(from, count, out, [](uint16_t h) { return internal::half_to_float(h); });
      break;
    case StoredType::bf16: convert<uint16_t>(from, count, out, internal::bf16_to_float); break;
    case StoredType::other: break;
  }
}

std::vector<StoredTensor> read_safetensors(const void* data, size_t size) {
  const std::span<const uint8_t> file(static_cast<const uint8_t*>(data), size);
  uint64_t header_bytes = 0;
  if (size < sizeof header_bytes) throw std::runtime_error("is not a safetensors file: it ends before its header");
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  const std::span<const uint8_t> rest = file.subspan(sizeof header_bytes);
  if (header_bytes > kMaxHeader)
    throw std::runtime_error(fmt::format("a header of {} bytes; the format allows {}", header_bytes, kMaxHeader));
  if (header_bytes > rest.size())
    throw std::runtime_error(fmt::format("a header of {} bytes, but {} are left", header_bytes, rest.size()));
  const std::string_view header(reinterpret_cast<const char*>(rest.data()), size_t(header_bytes));
  try {
    const std::span<const uint8_t> numbers = rest.subspan(size_t(header_bytes));
    std::vector<StoredTensor> tensors = tensors_of(header, numbers);
    check_tiling(tensors, numbers);
    return tensors;
  } catch (const json::Error& error) {
    throw std::runtime_error(fmt::format("its header is malformed: {}", error.what()));
  }
}

}  // namespace pith::quantize
