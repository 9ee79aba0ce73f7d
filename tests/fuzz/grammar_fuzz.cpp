// libFuzzer: any bytes as a grammar or schema; the first byte says which ('g', 's'), the second chooses tokens. What compiles
// is walked: every token that a mask leaves is accepted, every other is refused and changes nothing, and a copy says the same.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "memory.h"
#include "raw_gguf.h"

using namespace pith::fuzz;

namespace {

// Bytes, and words that lie across what grammars are made of.
struct Vocabulary {
  Memory file, model_memory, memory, trie_memory;
  pith_model* model = nullptr;
  pith_tokenizer* tokenizer = nullptr;
  pith_token_trie* trie = nullptr;
  int32_t n_tokens = 257;

  Vocabulary() {
    pith::test::RawGguf raw = pith::test::tiny_packed();
    std::vector<std::string> tokens = {"<|end|>"};
    std::vector<int32_t> types(257, 1);
    types[0] = 3;
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(pith::test::byte_token(byte));
    const char* const words[] = {"\":", "\",", "},{", "[[", "aa", "ab", "00", "\\\\", "tr", "ue"};
    for (size_t i = 0; i < std::size(words); ++i) tokens[1 + 0xf5 + i] = words[i];  // bytes that UTF-8 does not have
    raw.set("tokenizer.ggml.tokens", pith::test::kArray, pith::test::string_array(tokens));
    raw.set("tokenizer.ggml.token_type", pith::test::kArray,
            pith::test::number_array<int32_t>(pith::test::kI32, types));
    raw.set("tokenizer.ggml.merges", pith::test::kArray, pith::test::string_array({}));
    raw.set_u32("tokenizer.ggml.eos_token_id", 0);
    const pith::test::Bytes bytes = raw.build();
    file = copy_of(bytes.data(), bytes.size());
    size_t n = 0;
    require(pith_model_bytes(file.get(), bytes.size(), &n, nullptr) == PITH_OK);
    model_memory = memory_of(n);
    require(pith_model_init(file.get(), bytes.size(), model_memory.get(), n, &model, nullptr) == PITH_OK);
    require(pith_tokenizer_bytes(model, &n, nullptr) == PITH_OK);
    memory = memory_of(n);
    require(pith_tokenizer_init(model, memory.get(), n, &tokenizer, nullptr) == PITH_OK);
    require(pith_token_trie_bytes(tokenizer, &n, nullptr) == PITH_OK);
    trie_memory = memory_of(n);
    require(pith_token_trie_init(tokenizer, trie_memory.get(), n, &trie, nullptr) == PITH_OK);
  }
};

bool is_known(pith_status status) {
  return status == PITH_OK || status == PITH_E_TOKEN || status == PITH_E_NO_TOKEN || status == PITH_E_LIMIT;
}

bool mask_of(pith_matcher* matcher, std::vector<float>* out) {
  const std::vector<float> logits(out->size(), 1.0f);
  const pith_status status = pith_matcher_mask(matcher, logits.data(), out->data(), nullptr);
  require(is_known(status) && status != PITH_E_TOKEN);
  return status == PITH_OK;
}

void walk(const Vocabulary& vocabulary, pith_matcher* matcher, pith_matcher* copy, uint32_t random) {
  std::vector<float> mask(size_t(vocabulary.n_tokens)), other(mask.size());
  for (int step = 0; step < 24; ++step) {
    if (!mask_of(matcher, &mask)) return;
    require(pith_matcher_copy(copy, matcher, nullptr) == PITH_OK && mask_of(copy, &other) && mask == other);
    random = random * 1664525 + 1013904223;
    int32_t next = -1;
    for (int32_t i = 0; i < vocabulary.n_tokens; ++i) {
      const int32_t token = int32_t((uint32_t(i) + (random >> 8)) % uint32_t(vocabulary.n_tokens));
      const bool is_left = mask[size_t(token)] == 1.0f;
      require(is_left || (std::isinf(mask[size_t(token)]) && mask[size_t(token)] < 0));
      if (is_left && next < 0) next = token;
      if (!is_left && i % 16 == 0) {
        const pith_status status = pith_matcher_accept(matcher, token, nullptr);
        require(status == PITH_E_TOKEN);
      }
    }
    require(next >= 0);
    const pith_status status = pith_matcher_accept(matcher, next, nullptr);
    require(status == PITH_OK || status == PITH_E_LIMIT);
    if (next == 0 || status != PITH_OK) return;
    if (pith_matcher_is_done(matcher) == 1) require(pith_matcher_may_end(matcher) == 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Vocabulary vocabulary;
  if (size < 2 || (data[0] != 'g' && data[0] != 's')) return 0;
  const Memory text = copy_of(data + 2, size - 2);
  pith_grammar_source source;
  pith_grammar_source_init(&source, sizeof source);
  source.kind = data[0] == 'g' ? PITH_GRAMMAR_GBNF : PITH_GRAMMAR_JSON_SCHEMA;
  source.text = static_cast<const char*>(text.get());
  source.text_bytes = size - 2;
  source.max_states = 8192;
  size_t n = 0;
  require(pith_grammar_bytes(&source, &n, nullptr) == PITH_OK);
  const Memory memory = memory_of(n);
  pith_grammar* grammar = nullptr;
  pith_error error;
  const pith_status status = pith_grammar_init(&source, memory.get(), n, &grammar, &error);
  require((status == PITH_OK) == (error.message[0] == '\0'));
  if (status != PITH_OK) {
    require(status == PITH_E_GRAMMAR || status == PITH_E_UNSUPPORTED || status == PITH_E_LIMIT);
    return 0;
  }
  require(pith_matcher_bytes(grammar, vocabulary.trie, &n, nullptr) == PITH_OK);
  static const Memory first = memory_of(n), second = memory_of(n);  // of one size whatever the grammar is
  static const size_t room = n;
  require(room == n);
  pith_matcher *matcher = nullptr, *copy = nullptr;
  if (pith_matcher_init(grammar, vocabulary.trie, first.get(), n, &matcher, nullptr) != PITH_OK) return 0;
  require(pith_matcher_init(grammar, vocabulary.trie, second.get(), n, &copy, nullptr) == PITH_OK);
  walk(vocabulary, matcher, copy, data[1]);
  return 0;
}
