// safetensors files and folders of them, every byte of which a test may falsify.
#ifndef PITH_TESTS_RAW_SAFETENSORS_H
#define PITH_TESTS_RAW_SAFETENSORS_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "raw_gguf.h"

namespace pith::test {

struct RawStored {
  std::string name, dtype;
  std::vector<uint64_t> shape;
  Bytes data;
};

inline std::string text_of(const std::vector<uint64_t>& numbers) {
  std::string out;
  for (const uint64_t n : numbers) out += (out.empty() ? "" : ", ") + std::to_string(n);
  return "[" + out + "]";
}

// A header that says `header`, and the bytes that follow it.
inline Bytes safetensors_of(const std::string& header, const Bytes& data, std::optional<uint64_t> length = {}) {
  const uint64_t n = length.value_or(header.size());
  Bytes out(sizeof n + header.size() + data.size());
  std::memcpy(out.data(), &n, sizeof n);
  std::copy(header.begin(), header.end(), out.begin() + sizeof n);
  std::copy(data.begin(), data.end(), out.end() - int64_t(data.size()));
  return out;
}

// The tensors one after the other. `padding`: spaces after the header, which move the numbers to other addresses.
inline Bytes safetensors_of(const std::vector<RawStored>& tensors, size_t padding = 0) {
  std::string header = R"({"__metadata__": {"format": "pt"})";
  Bytes data;
  for (const RawStored& t : tensors) {
    header += ", \"" + t.name + R"(": {"dtype": ")" + t.dtype + R"(", "shape": )" + text_of(t.shape);
    header += ", \"data_offsets\": " + text_of({data.size(), data.size() + t.data.size()}) + "}";
    data.insert(data.end(), t.data.begin(), t.data.end());
  }
  return safetensors_of(header + "}" + std::string(padding, ' '), data);
}

inline Bytes bytes_of(const std::vector<float>& values) {
  Bytes out(values.size() * sizeof(float));
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

// A folder of its own, gone with this.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    path_ = std::filesystem::temp_directory_path() / ("pith-test-" + std::to_string(std::random_device{}()));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  void write(const std::string& name, const Bytes& bytes) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), std::streamsize(bytes.size()));
  }
  void write(const std::string& name, const std::string& text) const { write(name, Bytes(text.begin(), text.end())); }
  void remove(const std::string& name) const { std::filesystem::remove(path_ / name); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace pith::test

#endif
