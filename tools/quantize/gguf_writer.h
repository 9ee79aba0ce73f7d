// Writes GGUF v3 files (src/model/model_file.h states the bytes), whole or tensor by tensor.
#ifndef PITH_QUANTIZE_GGUF_WRITER_H
#define PITH_QUANTIZE_GGUF_WRITER_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/model_file.h"

namespace pith::quantize {

using namespace internal;

// Takes the next bytes of a file.
using ByteSink = std::function<void(const void* data, size_t bytes)>;

// Throws std::runtime_error: a file may have more bytes than a machine of 32 bits has addresses.
size_t in_memory(uint64_t bytes);

// Collects keys and tensors in the order given, then writes them. Adding a key a second time replaces its value.
// Throws std::runtime_error for a tensor added twice, without a dimension, or with data of another size than its shape.
class GgufWriter {
 public:
  // Writes the whole tensor into `out` [tensor bytes].
  using Fill = std::function<void(uint8_t* out)>;

  // `alignment` in bytes, a power of two >= 8, of every tensor in the file; packed models have 64. Written as
  // general.alignment unless it is the format's default of 32.
  explicit GgufWriter(uint32_t alignment = 32);

  void add_u32(std::string_view key, uint32_t value);
  void add_i32(std::string_view key, int32_t value);
  void add_u64(std::string_view key, uint64_t value);
  void add_i64(std::string_view key, int64_t value);
  void add_f32(std::string_view key, float value);
  void add_f64(std::string_view key, double value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_array_of_strings(std::string_view key, const std::vector<std::string>& values);
  void add_array_u8(std::string_view key, const std::vector<uint8_t>& values);
  void add_array_u32(std::string_view key, const std::vector<uint32_t>& values);
  void add_array_i32(std::string_view key, const std::vector<int32_t>& values);
  void add_array_u64(std::string_view key, const std::vector<uint64_t>& values);
  void add_array_i64(std::string_view key, const std::vector<int64_t>& values);
  void add_array_f32(std::string_view key, const std::vector<float>& values);
  // Copies an entry of another file, whatever its type.
  void add_entry(const MetaEntry& entry);
  // A value by its encoding: for tests of readers.
  void add_raw(std::string_view key, uint32_t type, std::span<const uint8_t> value);

  // `dims`: fastest first. `bytes` is not copied: it must live until the last write.
  void add_tensor(std::string_view name, TensorType type, std::vector<uint64_t> dims, std::span<const uint8_t> bytes);
  void add_tensor(std::string_view name, TensorType type, std::vector<uint64_t> dims, Fill fill);
  // An F32 tensor; the values are copied.
  void add_tensor_f32(std::string_view name, std::vector<uint64_t> dims, std::span<const float> values);

  size_t n_tensors() const { return tensors_.size(); }
  uint64_t tensor_bytes(size_t index) const { return tensors_[index].bytes; }
  void fill_tensor(size_t index, uint8_t* out) const { tensors_[index].fill(out); }  // out [tensor_bytes(index)]

  // Where things lie in the file, for what has been added so far. Replacing a value by one of equal size moves nothing.
  uint64_t tensor_position(size_t index) const { return header_bytes() + tensors_[index].offset; }
  uint64_t header_bytes() const;  // all before the first tensor, padding included
  uint64_t file_bytes() const { return header_bytes() + data_bytes_; }

  std::vector<uint8_t> header() const;  // [header_bytes]
  // One tensor is in memory at a time.
  void write(const ByteSink& sink) const;
  std::vector<uint8_t> bytes() const;  // [file_bytes]

 private:
  struct Entry {
    std::string key;
    uint32_t type;
    std::vector<uint8_t> value;
  };
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> dims;
    uint64_t bytes, offset;  // offset from the end of the header
    Fill fill;
  };

  template <typename T>
  void add_scalar(std::string_view key, GgufType type, T value);
  template <typename T>
  void add_array(std::string_view key, GgufType element_type, const std::vector<T>& values);
  void put(std::string_view key, uint32_t type, std::vector<uint8_t> value);
  uint64_t padded(uint64_t bytes) const { return (bytes + alignment_ - 1) / alignment_ * alignment_; }

  uint32_t alignment_;
  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
  std::map<std::string, size_t, std::less<>> entry_places_;  // in entries_, by key
  std::set<std::string, std::less<>> tensor_names_;
  uint64_t data_bytes_ = 0;  // tensors and the padding after each
};

}  // namespace pith::quantize

#endif
