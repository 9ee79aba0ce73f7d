// What tests of the C ABI share: a call that must be refused, and small objects of every kind.
#ifndef PITH_TESTS_API_TESTING_H
#define PITH_TESTS_API_TESTING_H

#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "pith/pith.h"
#include "raw_gguf.h"

namespace pith::test {

// The call fails with this status and a sentence that has this word in it.
template <typename Call>
void refuses(pith_status expected, const std::string& word, const Call& call) {
  pith_error error;
  std::memset(&error, 0xff, sizeof error);
  CAPTURE(word);
  CHECK(int(call(&error)) == int(expected));
  REQUIRE(std::memchr(error.message, 0, sizeof error.message) != nullptr);
  CHECK_MESSAGE(std::string(error.message).find(word) != std::string::npos, error.message);
}

template <typename Struct>
Struct sized() {
  Struct out{};
  out.struct_size = sizeof out;
  return out;
}

// The tiny model, and what is made of it.
struct Objects {
  explicit Objects(const RawGguf& raw = tiny_packed())
      : bytes(raw.build()), data(block_of(bytes.data(), bytes.size())) {
    size_t n = 0;
    REQUIRE(int(pith_model_bytes(data.get(), bytes.size(), &n, nullptr)) == int(PITH_OK));
    memory = block_of(n);
    pith_error error;
    REQUIRE_MESSAGE(pith_model_init(data.get(), bytes.size(), memory.get(), n, &model, &error) == PITH_OK,
                    error.message);
    REQUIRE(int(pith_tokenizer_bytes(model, &n, nullptr)) == int(PITH_OK));
    tokenizer_memory = block_of(n);
    REQUIRE(int(pith_tokenizer_init(model, tokenizer_memory.get(), n, &tokenizer, nullptr)) == int(PITH_OK));
    REQUIRE(int(pith_session_bytes(model, nullptr, &n, nullptr)) == int(PITH_OK));
    session_memory = block_of(n);
    REQUIRE(int(pith_session_init(model, nullptr, session_memory.get(), n, &session, nullptr)) == int(PITH_OK));
    REQUIRE(int(pith_sampler_bytes(nullptr, 257, &n, nullptr)) == int(PITH_OK));
    sampler_memory = block_of(n);
    REQUIRE(int(pith_sampler_init(nullptr, 257, sampler_memory.get(), n, &sampler, nullptr)) == int(PITH_OK));
  }
  Bytes bytes;
  Block data, memory, tokenizer_memory, session_memory, sampler_memory;
  pith_model* model = nullptr;
  pith_tokenizer* tokenizer = nullptr;
  pith_session* session = nullptr;
  pith_sampler* sampler = nullptr;
};

}  // namespace pith::test

#endif
