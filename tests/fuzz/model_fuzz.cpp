// libFuzzer: any bytes as a model file. What opens must also tokenize, plan a small session and run two steps. Of a file that
// has a directory, packed or not, the tensors' first and last blocks must give weights and codes. Most mutations change one field of one
// key or tensor (gguf_mutator.h), the others any bytes.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <random>

#include "gguf_blocks.h"
#include "gguf_mutator.h"
#include "model/model_file.h"
#include "pith/pith.h"

namespace {

using namespace pith::internal;

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

uint64_t elements_of(const TensorEntry& t) { return t.bytes / block_bytes(t.type) * block_elements(t.type); }

void read_blocks(TensorType type, const uint8_t* blocks, uint64_t n) {
  float* out = static_cast<float*>(aligned(n * sizeof(float)));
  pith::quantize::dequantize_blocks(type, blocks, int64_t(n), out);
  std::free(out);
  if (!pith::quantize::exact_type(type)) return;
  for (uint64_t group = 0; group < n / kBlockCols; ++group) {
    const pith::quantize::BlockCodes codes = pith::quantize::codes_of(type, blocks, int32_t(group));
    if (std::count(codes.q, codes.q + kBlockCols, int8_t(-128)) != 0) std::abort();  // integer products exclude it
  }
}

void read_tensors(const void* data, size_t size) {
  constexpr uint64_t kMaxBlocks = 64;
  size_t bytes = 0;
  if (ModelFile::directory_bytes(data, size, &bytes, nullptr) != PITH_OK || bytes > kMaxBytes) return;
  void* memory = aligned(bytes);
  ModelFile file;
  if (file.open(data, size, memory, nullptr) == PITH_OK) {
    for (size_t i = 0; i < file.n_tensors(); ++i) {
      const TensorEntry& t = file.tensor(i);
      if (!pith::quantize::holds_weights(t.type)) continue;
      const uint64_t block = block_elements(t.type), n = std::min(elements_of(t), kMaxBlocks * block);
      read_blocks(t.type, t.data, n);
      read_blocks(t.type, t.data + t.bytes - block_bytes(t.type), block);
    }
  }
  std::free(memory);
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::mt19937_64 random(seed);
  pith::fuzz::GgufMutator mutator;
  if (random() % 4 == 0 || !mutator.read(data, size)) return LLVMFuzzerMutate(data, size, max_size);
  for (uint64_t left = 1 + random() % 2; left > 0; --left) mutator.mutate(&random);
  return mutator.write(data, max_size);
}

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
  read_tensors(file, size);
  std::free(file);
  return 0;
}
