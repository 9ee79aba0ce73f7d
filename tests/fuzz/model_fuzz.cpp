// libFuzzer: any bytes as a model file. What opens must also tokenize, plan a small session and run two steps.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "pith/pith.h"

namespace {

constexpr size_t kMaxBytes = 1 << 24;  // of model and session memory: the fuzzer is not after large allocations

void* aligned(size_t size) {
  void* memory = nullptr;
  if (posix_memalign(&memory, PITH_ALIGNMENT, size == 0 ? 1 : size) != 0) std::abort();
  return memory;
}

void run_session(const pith_model* model) {
  pith_session_options options;
  pith_session_options_init(&options, sizeof options);
  options.capacity = 4;
  size_t bytes = 0;
  if (pith_session_bytes(model, &options, &bytes, nullptr) != PITH_OK || bytes > kMaxBytes) return;
  void* memory = aligned(bytes);
  pith_session* session = nullptr;
  if (pith_session_init(model, &options, memory, bytes, &session, nullptr) == PITH_OK) {
    const int32_t tokens[] = {0, 0};
    static_cast<void>(pith_session_eval(session, tokens, 2, nullptr));
  }
  std::free(memory);
}

void read_metadata(const pith_model* model) {
  for (size_t i = 0; i < pith_model_metadata_count(model); ++i) {
    pith_metadata entry{};
    entry.struct_size = sizeof entry;
    if (pith_model_get_metadata(model, i, &entry, nullptr) != PITH_OK || entry.type != PITH_VALUE_ARRAY) continue;
    for (const uint64_t element : {uint64_t(0), entry.array_count - 1, entry.array_count})
      static_cast<void>(pith_model_get_metadata_element(model, i, element, &entry, nullptr));
  }
}

void run_tokenizer(const pith_model* model) {
  size_t bytes = 0;
  if (pith_tokenizer_bytes(model, &bytes, nullptr) != PITH_OK || bytes > kMaxBytes) return;
  void* memory = aligned(bytes);
  pith_tokenizer* tokenizer = nullptr;
  if (pith_tokenizer_init(model, memory, bytes, &tokenizer, nullptr) == PITH_OK) {
    const char text[] = "The fox's 3 <|endoftext|> lanterns\xff \xe2\x82";
    int32_t tokens[sizeof text + 1];
    size_t count = 0;
    void* work = aligned(pith_tokenizer_work_bytes(sizeof text));
    static_cast<void>(pith_tokenizer_encode(tokenizer, text, sizeof text, PITH_ENCODE_SPECIALS, tokens, sizeof text + 1,
                                            &count, work, pith_tokenizer_work_bytes(sizeof text), nullptr));
    std::free(work);
    static_cast<void>(pith_tokenizer_token_id(tokenizer, text, sizeof text));
  }
  std::free(memory);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  void* file = aligned(size);
  std::memcpy(file, data, size);
  size_t bytes = 0;
  pith_error error;
  if (pith_model_bytes(file, size, &bytes, &error) == PITH_OK && bytes <= kMaxBytes) {
    void* memory = aligned(bytes);
    pith_model* model = nullptr;
    if (pith_model_init(file, size, memory, bytes, &model, &error) == PITH_OK) {
      read_metadata(model);
      run_tokenizer(model);
      run_session(model);
    }
    std::free(memory);
  }
  std::free(file);
  return 0;
}
