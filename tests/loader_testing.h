// What tests of the loader share: a file opened as a model, and what was said about it.
#ifndef PITH_TESTS_LOADER_TESTING_H
#define PITH_TESTS_LOADER_TESTING_H

#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "raw_gguf.h"

namespace pith::test {

constexpr uint32_t kI8 = 1, kU16 = 2, kI16 = 3, kF64 = 12;
constexpr uint32_t kInt8Tensor = 24;

struct Opening {
  pith_status status = PITH_OK;
  std::string message;

  bool says(const std::string& words) const { return message.find(words) != std::string::npos; }
};

inline Opening open_bytes(const Bytes& bytes) {
  const Block file = block_of(bytes.data(), bytes.size());
  pith_error error{};
  size_t size = 0;
  pith_status status = pith_model_bytes(file.get(), bytes.size(), &size, &error);
  if (status != PITH_OK) return {status, error.message};
  const Block memory = block_of(size);
  pith_model* model = nullptr;
  status = pith_model_init(file.get(), bytes.size(), memory.get(), size, &model, &error);
  return {status, status == PITH_OK ? "" : error.message};
}

inline Opening open_raw(const RawGguf& file) { return open_bytes(file.build()); }

// The status, and that the sentence has these words; of a good file, that there is none.
inline void expect(const RawGguf& file, pith_status status, const std::string& words = "") {
  const Opening verdict = open_raw(file);
  CAPTURE(verdict.message);
  CAPTURE(words);
  CHECK(int(verdict.status) == int(status));
  CHECK(verdict.says(words));
}

inline RawGguf with(const std::function<void(RawGguf&)>& change) {
  RawGguf file = tiny_packed();
  change(file);
  return file;
}

}  // namespace pith::test

#endif
