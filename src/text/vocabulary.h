// The tokens of a model file: their bytes, their types, which are special, and ids by bytes.
#ifndef PITH_TEXT_VOCABULARY_H
#define PITH_TEXT_VOCABULARY_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/arena.h"
#include "model/model_file.h"
#include "text/added_tokens.h"
#include "text/byte_hash.h"

namespace pith::internal {

// tokenizer.ggml.token_type; files have other numbers too, which are read as normal.
enum class TokenType : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

// How a file writes tokens (tokenizer.ggml.model).
enum class TokenAlphabet : uint8_t {
  gpt2,           // every byte as a character of its own
  sentence_piece  // as text, with U+2581 for a blank; bytes as <0xXX>
};

// What tokenizers read of a file.
struct TokenArrays {
  TokenAlphabet alphabet = TokenAlphabet::gpt2;
  std::string_view pattern = "gpt-2";  // tokenizer.ggml.pre
  const MetaEntry *tokens = nullptr, *types = nullptr, *merges = nullptr, *scores = nullptr;

  TokenType type(int32_t id) const;  // normal where the file has no types
};

class Vocabulary {
 public:
  static constexpr size_t kMaxBytes = size_t(1) << 30;  // of all tokens: they are counted in 32 bits
  static constexpr const char *kTokensKey = "tokenizer.ggml.tokens", *kMergesKey = "tokenizer.ggml.merges";

  // Where everything lies, for the sizes that the arrays have; then read() fills it.
  void lay_out(Arena* arena, const TokenArrays& arrays);
  static pith_status check_sizes(const TokenArrays& arrays, pith_error* error);
  pith_status read(const ModelFile& file, const TokenArrays& arrays, pith_error* error);

  int32_t n_tokens() const { return n_tokens_; }
  TokenType type(int32_t id) const { return TokenType(types_[id] & kTypeBits); }
  bool is_special(int32_t id) const { return type(id) == TokenType::control || type(id) == TokenType::unknown; }
  bool is_end(int32_t id) const { return (types_[id] & kEndBit) != 0; }  // of a text, a turn or a message

  // Ids, or -1.
  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }
  int32_t unknown() const { return unknown_; }
  int32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }  // of the token of this byte alone
  bool has_byte_tokens() const { return has_byte_tokens_; }        // those written as <0xXX>
  bool adds_bos() const { return adds_bos_; }                      // tokenizer.ggml.add_bos_token
  bool adds_space() const { return adds_space_; }                  // tokenizer.ggml.add_space_prefix

  // The bytes that a token stands for; special and unused ones have names.
  std::string_view bytes(int32_t id) const { return {text_ + offsets_[id], size_t(offsets_[id + 1] - offsets_[id])}; }

  // Of the tokens that merges can make, the first of equal ones.
  int32_t find(std::string_view bytes) const { return find(ByteHash::of(bytes), bytes); }
  int32_t find(uint64_t hash, std::string_view bytes) const;

  const AddedTokens& added() const { return added_; }

  // Room for the bytes of a merge, [longest_bytes()]; used while merges are read.
  char* merge_room() const { return text_ + offsets_[n_tokens_]; }
  size_t longest_bytes() const { return longest_; }  // of any token, as stored

 private:
  static constexpr uint8_t kTypeBits = 7, kEndBit = 8;

  pith_status read_tokens(const TokenArrays& arrays, pith_error* error);
  pith_status read_token(const TokenArrays& arrays, int32_t id, std::string_view stored, pith_error* error);
  pith_status enter(int32_t id, pith_error* error);
  void read_bytes();
  pith_status read_specials(const ModelFile& file, pith_error* error);
  pith_status read_special(const ModelFile& file, const char* key, int32_t* id, pith_error* error) const;
  void mark_ends();

  int32_t n_tokens_ = 0;
  TokenAlphabet alphabet_ = TokenAlphabet::gpt2;
  int32_t bos_ = -1, eos_ = -1, end_of_turn_ = -1, end_of_message_ = -1, unknown_ = -1;
  bool adds_bos_ = false, adds_space_ = false, has_byte_tokens_ = false;
  char* text_ = nullptr;         // the bytes of all tokens, then merge_room()
  size_t longest_ = 0;           // bytes of the longest token as stored
  uint32_t* offsets_ = nullptr;  // [n_tokens + 1]
  uint8_t* types_ = nullptr;     // [n_tokens]: TokenType, and kEndBit
  int32_t* id_slots_ = nullptr;  // hash table of ids by bytes, -1 = empty; [id_mask + 1], at most half full
  uint32_t id_mask_ = 0;
  int32_t byte_ids_[256] = {};  // -1: none
  AddedTokens added_;
};

}  // namespace pith::internal

#endif
