// The tokens of a vocabulary in the order of their bytes, each with the length that it shares with the one before: a trie
// that is walked from its first token to its last, and whose branches are left by looking for the next shorter length.
#ifndef PITH_GRAMMAR_TOKEN_TRIE_H
#define PITH_GRAMMAR_TOKEN_TRIE_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/arena.h"
#include "text/tokenizer.h"

namespace pith::internal {

class TokenTrie {
 public:
  static constexpr uint32_t kMaxShared = 255;  // lengths beyond are stored as this one

  // Memory for init().
  static size_t bytes(const TextTokenizer& tokenizer);
  void init(const TextTokenizer& tokenizer, void* memory);

  int32_t n_tokens() const { return n_tokens_; }
  const TextTokenizer& tokenizer() const { return *tokenizer_; }

  // Tokens that end a text, and those that are text, in their order.
  uint32_t n_ends() const { return n_ends_; }
  int32_t end(uint32_t i) const { return ends_[i]; }
  uint32_t n_texts() const { return n_texts_; }
  int32_t id(uint32_t i) const { return ids_[i]; }
  uint32_t shared(uint32_t i) const { return shared_[i]; }
  std::string_view text(uint32_t i) const { return {text_ + offsets_[i], size_t(offsets_[i + 1] - offsets_[i])}; }

  // Special tokens and those without a byte are no text; neither is a token that ends one.
  static std::string_view text_of(const TextTokenizer& tokenizer, int32_t token) {
    return tokenizer.is_end(token) ? std::string_view() : tokenizer.decode(token);
  }

 private:
  void lay_out(const TextTokenizer& tokenizer, Arena* arena);

  const TextTokenizer* tokenizer_ = nullptr;
  int32_t n_tokens_ = 0;
  uint32_t n_texts_ = 0, n_ends_ = 0;
  int32_t *ids_ = nullptr, *ends_ = nullptr;  // [n_texts], [n_ends]
  uint8_t* shared_ = nullptr;                 // [n_texts]
  uint32_t* offsets_ = nullptr;               // [n_texts + 1]
  char* text_ = nullptr;                      // [offsets[n_texts]]
};

}  // namespace pith::internal

struct pith_token_trie {
  pith::internal::TokenTrie trie;
};

#endif
