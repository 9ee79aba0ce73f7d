// Small vocabularies of the tests' own, and a tokenizer over them without a model around it.
#ifndef PITH_TESTS_VOCABULARY_H
#define PITH_TESTS_VOCABULARY_H

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "raw_gguf.h"
#include "text/tokenizer.h"

namespace pith::test {

using namespace internal;

using Ids = std::vector<int32_t>;

// A vocabulary of its own: every byte, then `words` in GPT-2's alphabet; merges as in the file.
struct RawVocabulary {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;

  explicit RawVocabulary(const std::vector<std::string>& words = {}, std::vector<std::string> merge_lines = {})
      : merges(std::move(merge_lines)) {
    tokens.push_back("<|end|>");
    types.push_back(3);
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(byte_token(byte));
    tokens.insert(tokens.end(), words.begin(), words.end());
    types.resize(tokens.size(), 1);
  }
  RawGguf file() const {
    RawGguf out;
    out.set_string("tokenizer.ggml.model", "gpt2");
    out.set_string("tokenizer.ggml.pre", "gpt-2");
    out.set("tokenizer.ggml.tokens", kArray, string_array(tokens));
    out.set("tokenizer.ggml.token_type", kArray, number_array<int32_t>(kI32, types));
    out.set("tokenizer.ggml.merges", kArray, string_array(merges));
    return out;
  }
};

// A tokenizer of any vocabulary, without a model around it.
struct Loaded {
  Block bytes, memory;
  std::vector<uint64_t> directory;
  ModelFile file;
  size_t need = 0;
  pith_status status = PITH_OK;
  pith_error error{};
  TextTokenizer* tokenizer = nullptr;

  explicit Loaded(const RawGguf& raw) {
    const Bytes content = raw.build();
    bytes = block_of(content.data(), content.size());
    size_t directory_bytes = 0;
    REQUIRE(ModelFile::directory_bytes(bytes.get(), content.size(), &directory_bytes, &error) == PITH_OK);
    directory.resize(directory_bytes / 8 + 1);
    REQUIRE_MESSAGE(file.open(bytes.get(), content.size(), directory.data(), &error) == PITH_OK, error.message);
    status = TextTokenizer::bytes(file, &need, &error);
    if (status != PITH_OK) return;
    memory = block_of(need);
    tokenizer = reinterpret_cast<TextTokenizer*>(memory.get());
    status = tokenizer->init(file, memory.get(), &error);
  }
  Ids encode(std::string_view text) const {
    Ids out(text.size());
    const Block work = block_of(TextTokenizer::work_bytes(text.size()));
    out.resize(tokenizer->encode(text, out.data(), out.size(), work.get()));
    return out;
  }
};

// The pieces of a text, one after the other.
inline std::vector<std::string> pieces_of(std::string_view text, std::string_view pattern = "gpt-2") {
  const PreTokenizer* by = find_pre_tokenizer(pattern);
  REQUIRE(by != nullptr);
  std::vector<std::string> out;
  size_t at = 0;
  Pieces pieces(*by, text);
  for (std::string_view piece; pieces.next(&piece); at += piece.size()) {
    REQUIRE(!piece.empty());
    REQUIRE(piece.data() == text.data() + at);
    out.emplace_back(piece);
  }
  REQUIRE(at == text.size());
  return out;
}

}  // namespace pith::test

#endif
