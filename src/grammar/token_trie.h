// The tokens of a vocabulary as a trie of their bytes, written out in the order of a walk from its root: a node is a
// byte, how many stand before it in its tokens, and the token that ends there. A branch is left by looking for the next
// node that is no deeper.
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
  static constexpr uint32_t kMaxDepth = 255;  // bytes of a token that is in the trie; longer ones are a list

  // Memory for init().
  static size_t bytes(const TextTokenizer& tokenizer);
  void init(const TextTokenizer& tokenizer, void* memory);

  int32_t n_tokens() const { return n_tokens_; }
  const TextTokenizer& tokenizer() const { return *tokenizer_; }

  // Tokens that end a text; and those of more than kMaxDepth bytes.
  uint32_t n_ends() const { return n_ends_; }
  int32_t end(uint32_t i) const { return ends_[i]; }
  uint32_t n_long() const { return n_long_; }
  int32_t long_token(uint32_t i) const { return ids_[i]; }

  // The walk.
  uint32_t n_nodes() const { return n_nodes_; }
  const uint8_t* bytes_of_nodes() const { return bytes_; }
  const uint8_t* depths() const { return depths_; }  // 1 .. kMaxDepth: the byte itself counts
  // The token that ends with a node; n_tokens(): none.
  const uint32_t* tokens() const { return tokens_; }

  // Special tokens and those without a byte are no text; neither is a token that ends one.
  static std::string_view text_of(const TextTokenizer& tokenizer, int32_t token) {
    return tokenizer.is_end(token) ? std::string_view() : tokenizer.decode(token);
  }

 private:
  void lay_out(const TextTokenizer& tokenizer, Arena* arena);

  const TextTokenizer* tokenizer_ = nullptr;
  int32_t n_tokens_ = 0;
  uint32_t n_texts_ = 0, n_ends_ = 0, n_long_ = 0, n_nodes_ = 0;
  int32_t *ids_ = nullptr, *ends_ = nullptr;      // [n_texts]: the long ones, then the others in their order; [n_ends]
  uint8_t *bytes_ = nullptr, *depths_ = nullptr;  // [n_nodes], with room for the bytes of all tokens
  uint32_t* tokens_ = nullptr;                    // the same
};

}  // namespace pith::internal

struct pith_token_trie {
  pith::internal::TokenTrie trie;
};

#endif
