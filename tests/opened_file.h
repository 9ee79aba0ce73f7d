// A model file in aligned memory with its directory, for tests that look into files.
#ifndef PITH_TESTS_OPENED_FILE_H
#define PITH_TESTS_OPENED_FILE_H

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "half.h"
#include "model/model_file.h"
#include "packed.h"
#include "raw_gguf.h"
#include "model/config_reader.h"

namespace pith::test {

using namespace internal;

struct OpenedFile {
  Block bytes;
  size_t size;
  std::vector<uint64_t> directory;
  ModelFile file;
  Config config;

  // `packed`: reads pith.packed.* too.
  OpenedFile(const Bytes& content, bool packed)
      : bytes(block_of(content.data(), content.size())), size(content.size()) {
    pith_error error{};
    size_t directory_bytes = 0;
    REQUIRE(ModelFile::directory_bytes(bytes.get(), size, &directory_bytes, &error) == PITH_OK);
    directory.resize(directory_bytes / sizeof(uint64_t) + 1);
    REQUIRE_MESSAGE(file.open(bytes.get(), size, directory.data(), &error) == PITH_OK, error.message);
    REQUIRE_MESSAGE(read_config(file, &config, &error) == PITH_OK, error.message);
    if (packed) REQUIRE_MESSAGE(file.read_packed_directory(&error) == PITH_OK, error.message);
  }

  bool has(const std::string& name) const { return file.find_tensor(std::string_view(name)) != nullptr; }

  // An F32 tensor of a float file, or a vector of a packed one.
  std::vector<float> floats(const std::string& name) const {
    const TensorEntry* t = file.find_tensor(std::string_view(name));
    REQUIRE_MESSAGE(t != nullptr, name);
    REQUIRE(t->type == TensorType::f32);
    std::vector<float> out(t->bytes / sizeof(float));
    std::memcpy(out.data(), t->data, t->bytes);
    return out;
  }
};

// One element of a packed matrix, by the prose of simd/packed.h and none of its functions.
inline float packed_element(WeightType type, const uint8_t* w, int64_t row, int64_t col, int64_t cols) {
  const int64_t slots[] = {0, 1, 4, 5, 2, 3, 6, 7};
  const int64_t blocks = (cols + 31) / 32, panel = row / 8, block = col / 32, lane = col % 32, slot = slots[row % 8];
  if (type == WeightType::f32) {
    float value;
    std::memcpy(&value, w + ((panel * blocks * 32 + col) * 8 + row % 8) * 4, sizeof value);
    return value;
  }
  const int64_t per_super = type == WeightType::q8 ? 2 : 4, code_bytes = type == WeightType::q8 ? 256 : 128;
  const int64_t half_bytes = type == WeightType::q4m ? 32 : 16;
  const int64_t super = block / per_super, in_super = block % per_super;
  const int64_t n = super == blocks / per_super ? blocks % per_super : per_super;  // blocks of this superblock
  const uint8_t* base = w + (panel * blocks + super * per_super) * (code_bytes + half_bytes);
  uint16_t half;
  std::memcpy(&half, base + n * code_bytes + in_super * 16 + (row % 8) * 2, sizeof half);
  const uint8_t* codes = base + in_super * code_bytes;
  if (type == WeightType::q8) return half_to_float(half) * float(int8_t(codes[lane / 8 * 64 + slot * 8 + lane % 8]));
  const int byte = codes[lane % 16 / 8 * 64 + slot * 8 + lane % 8];
  const int u = lane < 16 ? byte & 15 : byte >> 4;
  if (type == WeightType::q4) return half_to_float(half) * float(u - 8);
  uint16_t minimum;
  std::memcpy(&minimum, base + n * (code_bytes + 16) + in_super * 16 + (row % 8) * 2, sizeof minimum);
  return half_to_float(half) * float(u) + half_to_float(minimum);
}

}  // namespace pith::test

#endif
