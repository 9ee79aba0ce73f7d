// A GGUF file as raw fields, every one of which a test may falsify before the bytes are written.
#ifndef PITH_TESTS_RAW_GGUF_H
#define PITH_TESTS_RAW_GGUF_H

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/tensor_list.h"

namespace pith::test {

using namespace internal;

using Bytes = std::vector<uint8_t>;

template <typename T>
void put(Bytes* out, T value) {
  const size_t at = out->size();
  out->resize(at + sizeof value);
  std::memcpy(out->data() + at, &value, sizeof value);
}

inline void put_string(Bytes* out, const std::string& text, std::optional<uint64_t> length = {}) {
  put<uint64_t>(out, length.value_or(text.size()));
  out->insert(out->end(), text.begin(), text.end());
}

template <typename T>
Bytes value_of(T value) {
  Bytes out;
  put(&out, value);
  return out;
}

inline Bytes string_value(const std::string& text) {
  Bytes out;
  put_string(&out, text);
  return out;
}

struct RawMeta {
  std::string key;
  uint32_t type;
  Bytes value;
  std::optional<uint64_t> key_length;
};

struct RawTensor {
  std::string name;
  std::vector<uint64_t> dims;
  uint32_t type;
  Bytes data;
  std::optional<uint64_t> name_length, offset;
  std::optional<uint32_t> n_dims;
};

// Value types of GGUF metadata.
constexpr uint32_t kU8 = 0, kI32 = 5, kU32 = 4, kF32 = 6, kBool = 7, kString = 8, kArray = 9, kU64 = 10, kI64 = 11;

inline Bytes string_array(const std::vector<std::string>& texts) {
  Bytes out;
  put<uint32_t>(&out, kString);
  put<uint64_t>(&out, texts.size());
  for (const std::string& text : texts) put_string(&out, text);
  return out;
}

template <typename T>
Bytes number_array(uint32_t element_type, const std::vector<T>& numbers) {
  Bytes out;
  put<uint32_t>(&out, element_type);
  put<uint64_t>(&out, numbers.size());
  for (const T number : numbers) put(&out, number);
  return out;
}

struct RawGguf {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<uint64_t> n_tensors, n_meta;
  std::vector<RawMeta> meta;
  std::vector<RawTensor> tensors;
  uint64_t alignment = 64;

  void set(const std::string& key, uint32_t type, Bytes value) {
    for (RawMeta& m : meta) {
      if (m.key == key) {
        m.type = type;
        m.value = std::move(value);
        return;
      }
    }
    meta.push_back({key, type, std::move(value), {}});
  }
  void set_u32(const std::string& key, uint32_t value) { set(key, kU32, value_of(value)); }
  void set_f32(const std::string& key, float value) { set(key, kF32, value_of(value)); }
  void set_string(const std::string& key, const std::string& text) { set(key, kString, string_value(text)); }
  void remove(const std::string& key) {
    std::erase_if(meta, [&](const RawMeta& m) { return m.key == key; });
  }
  RawTensor& tensor(const std::string& name) {
    for (RawTensor& t : tensors) {
      if (t.name == name) return t;
    }
    std::abort();  // a mistake in the test itself
  }

  Bytes build() const {
    Bytes out(magic.begin(), magic.end());
    put<uint32_t>(&out, version);
    put<uint64_t>(&out, n_tensors.value_or(tensors.size()));
    put<uint64_t>(&out, n_meta.value_or(meta.size()));
    for (const RawMeta& m : meta) {
      put_string(&out, m.key, m.key_length);
      put<uint32_t>(&out, m.type);
      out.insert(out.end(), m.value.begin(), m.value.end());
    }
    uint64_t offset = 0;
    for (const RawTensor& t : tensors) {
      put_string(&out, t.name, t.name_length);
      put<uint32_t>(&out, t.n_dims.value_or(uint32_t(t.dims.size())));
      for (const uint64_t dim : t.dims) put<uint64_t>(&out, dim);
      put<uint32_t>(&out, t.type);
      put<uint64_t>(&out, t.offset.value_or(offset));
      offset += (t.data.size() + alignment - 1) / alignment * alignment;
    }
    for (const RawTensor& t : tensors) {
      out.resize((out.size() + alignment - 1) / alignment * alignment);
      out.insert(out.end(), t.data.begin(), t.data.end());
    }
    return out;
  }
};

// A copy of exactly this size on the heap, aligned as the library asks, so that AddressSanitizer sees every byte beyond.
struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Block = std::unique_ptr<uint8_t, FreeMemory>;
inline Block block_of(size_t size) {
  void* memory = nullptr;
  if (posix_memalign(&memory, PITH_ALIGNMENT, size == 0 ? 1 : size) != 0) std::abort();
  return Block(static_cast<uint8_t*>(memory));
}
inline Block block_of(const uint8_t* data, size_t size) {
  Block block = block_of(size);
  if (size > 0) std::memcpy(block.get(), data, size);
  return block;
}

// The smallest interesting configuration: one EG-MLA layer.
inline Config tiny_config() {
  Config c;
  c.gate = Gate::up;
  c.gate_norm = GateNorm::layer;
  c.n_layers = 1;
  c.width = 8;
  c.n_heads = c.n_kv_heads = 1;
  c.content_width = c.value_width = 8;
  c.rope_width = 2;
  c.latent_width = 8;
  c.gate_width = 8;
  c.layer_group_size = 1;
  c.feed_forward_width = 8;
  c.vocab_size = 257;
  c.context_length = 16;
  return c;
}

// The text of a byte in GPT-2's alphabet, as UTF-8.
inline std::string byte_token(int byte) {
  const auto printable = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  }
  if (code < 128) return std::string(1, char(code));
  return {char(0xc0 | (code >> 6)), char(0x80 | (code & 63))};
}

inline void add_vocabulary(RawGguf* file) {
  std::vector<std::string> tokens = {"<|endoftext|>"};
  std::vector<int32_t> types = {3};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(byte_token(byte));
    types.push_back(1);
  }
  file->set_string("tokenizer.ggml.model", "gpt2");
  file->set_string("tokenizer.ggml.pre", "gpt-2");
  file->set("tokenizer.ggml.tokens", kArray, string_array(tokens));
  file->set("tokenizer.ggml.token_type", kArray, number_array<int32_t>(kI32, types));
  file->set("tokenizer.ggml.merges", kArray, string_array({}));
  file->set_u32("tokenizer.ggml.bos_token_id", 0);
  file->set_u32("tokenizer.ggml.eos_token_id", 0);
}

// A valid packed file of tiny_config(): float panels of small values.
inline RawGguf tiny_packed() {
  const Config c = tiny_config();
  RawGguf file;
  file.set_string("general.architecture", "egmla");
  file.set_u32("general.alignment", 64);
  file.set_string("egmla.attention.kind", "latent");
  file.set_string("egmla.attention.gate", "up");
  file.set_string("egmla.attention.gate_norm", "layer");
  file.set_u32("egmla.block_count", uint32_t(c.n_layers));
  file.set_u32("egmla.embedding_length", uint32_t(c.width));
  file.set_u32("egmla.attention.head_count", uint32_t(c.n_heads));
  file.set_u32("egmla.attention.value_length", uint32_t(c.value_width));
  file.set_u32("egmla.attention.key_length_content", uint32_t(c.content_width));
  file.set_u32("egmla.rope.dimension_count", uint32_t(c.rope_width));
  file.set_u32("egmla.attention.kv_lora_rank", uint32_t(c.latent_width));
  file.set_u32("egmla.attention.gate_length", uint32_t(c.gate_width));
  file.set_u32("egmla.attention.layer_group_size", uint32_t(c.layer_group_size));
  file.set_u32("egmla.feed_forward_length", uint32_t(c.feed_forward_width));
  file.set_u32("egmla.vocab_size", uint32_t(c.vocab_size));
  file.set_u32("egmla.context_length", uint32_t(c.context_length));
  file.set_f32("egmla.rope.freq_base", 10000);
  file.set_f32("egmla.block_norm_epsilon", 1e-6f);
  file.set("egmla.folded", kBool, value_of<uint8_t>(1));
  add_vocabulary(&file);
  file.set("pith.rope.frequencies", kArray, number_array<uint64_t>(kU64, {2935890503282001226ull}));
  file.set_u32("pith.packed.version", 1);
  std::vector<std::string> names, types, hashes;
  std::vector<uint32_t> rows, cols;
  TensorList list(c);
  TensorSpec spec;
  while (list.next(&spec)) {
    if (spec.presence != Presence::required) continue;
    const bool is_matrix = spec.kind == TensorKind::matrix;
    const size_t bytes = is_matrix ? packed_bytes(WeightType::f32, spec.rows, spec.cols) : size_t(spec.cols) * 4;
    Bytes data;
    for (size_t i = 0; i < bytes / 4; ++i) put<float>(&data, is_matrix ? 0.01f * float(i % 7) : 1.0f);
    file.tensors.push_back(
        {spec.name, {is_matrix ? uint64_t(bytes) : uint64_t(spec.cols)}, is_matrix ? 24u : 0u, data, {}, {}, {}});
    names.push_back(spec.name);
    types.push_back(is_matrix ? "f32" : "vector");
    hashes.push_back(std::string(64, '0'));
    rows.push_back(uint32_t(spec.rows));
    cols.push_back(uint32_t(spec.cols));
  }
  file.set("pith.packed.names", kArray, string_array(names));
  file.set("pith.packed.types", kArray, string_array(types));
  file.set("pith.packed.rows", kArray, number_array<uint32_t>(kU32, rows));
  file.set("pith.packed.cols", kArray, number_array<uint32_t>(kU32, cols));
  file.set("pith.packed.sha256", kArray, string_array(hashes));
  return file;
}

}  // namespace pith::test

#endif
