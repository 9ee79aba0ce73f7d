#include "gguf_mutator.h"

#include <algorithm>
#include <cstring>

namespace pith::fuzz {
namespace {

constexpr uint32_t kString = 8, kArray = 9, kTypes = 13;

size_t scalar_bytes(uint32_t type) {
  constexpr size_t kBytes[kTypes] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < kTypes ? kBytes[type] : 0;
}

struct Input {
  const uint8_t* at;
  size_t left;
  bool good = true;

  std::string take(uint64_t n) {
    good = good && n <= left;
    if (!good) return {};
    std::string out(reinterpret_cast<const char*>(at), size_t(n));
    at += n;
    left -= size_t(n);
    return out;
  }
  template <typename T>
  T number() {
    const std::string bytes = take(sizeof(T));
    T value{};
    if (good) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string text() { return take(number<uint64_t>()); }
  // A value with its lengths, as it stands.
  std::string value(uint32_t type) {
    const uint8_t* begin = at;
    if (type == kString) {
      text();
    } else if (type == kArray) {
      const uint32_t element = number<uint32_t>();
      const uint64_t count = number<uint64_t>();
      if (scalar_bytes(element) != 0) take(count > left ? left + 1 : count * scalar_bytes(element));
      for (uint64_t i = 0; element == kString && i < count && good; ++i) text();
    } else {
      take(scalar_bytes(type));
    }
    return good ? std::string(reinterpret_cast<const char*>(begin), size_t(at - begin)) : std::string();
  }
};

template <typename T>
void put(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string* out, const std::string& text) {
  put<uint64_t>(out, text.size());
  *out += text;
}

size_t below(size_t n, std::mt19937_64* random) { return n == 0 ? 0 : size_t((*random)() % n); }

// Changes the number that stands in `n` bytes at `at`, or in the first 8 of them.
void change_number(std::string* bytes, size_t at, size_t n, std::mt19937_64* random) {
  uint64_t value = 0;
  n = std::min(n, sizeof value);
  if (at + n > bytes->size()) return;
  std::memcpy(&value, bytes->data() + at, n);
  value = other_number(value, random);
  std::memcpy(bytes->data() + at, &value, n);
}

void change_text(std::string* text, std::mt19937_64* random) {
  switch (below(4, random)) {
    case 0: text->erase(below(text->size() + 1, random)); break;
    case 1: text->insert(below(text->size() + 1, random), 1 + below(70, random), char((*random)())); break;
    case 2: *text += *text; break;
    default:
      if (!text->empty()) (*text)[below(text->size(), random)] = char((*random)());
  }
}

}  // namespace

uint64_t other_number(uint64_t old, std::mt19937_64* random) {
  constexpr uint64_t kEdges[] = {0,   1,    7,     8,     31,       32,         63,         64,        255,
                                 256, 4096, 65535, 65536, 1u << 24, 0x7fffffff, 0x80000000, 0xffffffff};
  switch (below(6, random)) {
    case 0: return kEdges[below(std::size(kEdges), random)];
    case 1: return old + 1;
    case 2: return old - 1;
    case 3: return uint64_t(1) << below(64, random);
    case 4: return old * (2 + below(3, random));
    default: return old ^ uint64_t(1) << below(64, random);
  }
}

bool GgufMutator::read(const uint8_t* data, size_t size) {
  Input in{data, size};
  in.take(8);
  const uint64_t n_tensors = in.number<uint64_t>(), n_keys = in.number<uint64_t>();
  for (uint64_t i = 0; i < n_keys && in.good; ++i) {
    Key key;
    key.name = in.text();
    key.type = in.number<uint32_t>();
    if (key.type >= kTypes) return false;
    key.value = in.value(key.type);
    if (key.name == "general.alignment" && key.value.size() == 4) {
      uint32_t alignment = 0;
      std::memcpy(&alignment, key.value.data(), sizeof alignment);
      if (alignment >= 8 && alignment <= 4096) alignment_ = alignment;
    }
    keys_.push_back(std::move(key));
  }
  for (uint64_t i = 0; i < n_tensors && in.good; ++i) {
    Tensor tensor;
    tensor.name = in.text();
    const uint32_t n_dims = in.number<uint32_t>();
    for (uint32_t j = 0; j < n_dims && in.good; ++j) tensor.dims.push_back(in.number<uint64_t>());
    tensor.type = in.number<uint32_t>();
    tensor.offset = in.number<uint64_t>();
    tensors_.push_back(std::move(tensor));
  }
  if (!in.good) return false;
  const size_t padding = size_t((alignment_ - (size - in.left) % alignment_) % alignment_);
  in.take(std::min(padding, in.left));
  weights_ = in.take(in.left);
  return true;
}

void GgufMutator::mutate(std::mt19937_64* random) {
  if (!tensors_.empty() && (keys_.empty() || below(3, random) == 0)) mutate_tensor(random);
  else if (!keys_.empty()) mutate_key(random);
}

void GgufMutator::mutate_key(std::mt19937_64* random) {
  const size_t at = below(keys_.size(), random);
  Key& key = keys_[at];
  switch (below(10, random)) {
    case 0: keys_.erase(keys_.begin() + int64_t(at)); return;
    case 1: keys_.push_back(Key(key)); return;
    case 2: change_text(&key.name, random); return;
    case 3: key.type = uint32_t(below(kTypes + 1, random)); return;
    case 4: std::swap(key.value, keys_[below(keys_.size(), random)].value); return;
    default: break;
  }
  if (key.type == kArray) {
    mutate_array(&key, random);
  } else if (key.type == kString && key.value.size() >= 8) {
    std::string text = key.value.substr(8);
    change_text(&text, random);
    key.value.clear();
    put_text(&key.value, text);
  } else {
    change_number(&key.value, 0, key.value.size(), random);
  }
}

void GgufMutator::mutate_array(Key* key, std::mt19937_64* random) {
  constexpr size_t kHeader = 12;  // type and count of the elements
  uint32_t type = 0;
  uint64_t count = 0;
  if (key->value.size() < kHeader) return;
  std::memcpy(&type, key->value.data(), sizeof type);
  std::memcpy(&count, key->value.data() + sizeof type, sizeof count);
  if (count == 0 || below(12, random) == 0) return change_number(&key->value, below(2, random) * 4, 4, random);
  if (type != kString)
    return change_number(&key->value, kHeader + below(count, random) * scalar_bytes(type), scalar_bytes(type), random);
  Input in{reinterpret_cast<const uint8_t*>(key->value.data()) + kHeader, key->value.size() - kHeader};
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < count && in.good; ++i) texts.push_back(in.text());
  std::string& text = texts[below(texts.size(), random)];
  if (below(3, random) == 0) text = texts[below(texts.size(), random)];
  else change_text(&text, random);
  key->value.resize(kHeader);
  for (const std::string& t : texts) put_text(&key->value, t);
}

void GgufMutator::mutate_tensor(std::mt19937_64* random) {
  const size_t at = below(tensors_.size(), random);
  Tensor& tensor = tensors_[at];
  switch (below(8, random)) {
    case 0: change_text(&tensor.name, random); break;
    case 1: tensor.type = uint32_t(below(40, random)); break;
    case 2: tensor.offset = other_number(tensor.offset, random); break;
    case 3: tensor.offset = tensors_[below(tensors_.size(), random)].offset; break;
    case 4: tensor.dims.push_back(1 + below(4, random)); break;
    case 5: tensors_.erase(tensors_.begin() + int64_t(at)); break;
    case 6: std::swap(tensor.name, tensors_[below(tensors_.size(), random)].name); break;
    default:
      if (!tensor.dims.empty()) {
        uint64_t& dim = tensor.dims[below(tensor.dims.size(), random)];
        dim = other_number(dim, random);
      }
  }
}

size_t GgufMutator::write(uint8_t* out, size_t capacity) const {
  std::string file = "GGUF";
  put<uint32_t>(&file, 3);
  put<uint64_t>(&file, tensors_.size());
  put<uint64_t>(&file, keys_.size());
  for (const Key& key : keys_) {
    put_text(&file, key.name);
    put<uint32_t>(&file, key.type);
    file += key.value;
  }
  for (const Tensor& tensor : tensors_) {
    put_text(&file, tensor.name);
    put<uint32_t>(&file, uint32_t(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims) put<uint64_t>(&file, dim);
    put<uint32_t>(&file, tensor.type);
    put<uint64_t>(&file, tensor.offset);
  }
  file.resize((file.size() + alignment_ - 1) / alignment_ * alignment_);
  file += weights_;
  const size_t n = std::min(file.size(), capacity);
  std::memcpy(out, file.data(), n);
  return n;
}

}  // namespace pith::fuzz
