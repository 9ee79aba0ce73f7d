// Byte-level BPE: text -> pieces (the GPT-2 pattern, by a hand-written scanner) -> merges -> token ids. A vocabulary
// may lack tokens of bytes that its texts never had: text with such a byte has the unknown token there, or no ids at
// all.
#ifndef PITH_TEXT_TOKENIZER_H
#define PITH_TEXT_TOKENIZER_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/arena.h"
#include "model/model_file.h"

namespace pith::internal {

enum class Specials : uint8_t { are_text, are_found };  // what their names in a text are

// Special tokens are those of token_type 3. Model bytes must outlive the tokenizer: the names of special tokens lie
// there.
class BpeTokenizer {
 public:
  static constexpr size_t kMaxText = 1u << 30;  // bytes of a text, and of all tokens: they are counted in 32 bits

  // Memory for init(), from the metadata.
  static pith_status bytes(const ModelFile& file, size_t* out_bytes, pith_error* error);
  pith_status init(const ModelFile& file, void* memory, pith_error* error);

  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }
  int32_t n_tokens() const { return n_tokens_; }
  bool adds_bos() const { return adds_bos_; }  // tokenizer.ggml.add_bos_token

  // -1: none. A special token by its text in the file, any other by its bytes.
  int32_t token_id(std::string_view text) const;

  static size_t work_bytes(size_t n_bytes);  // SIZE_MAX for a text that is too long

  // Writes at most `capacity` ids and returns how many the text has, at most one for every byte. work: [work_bytes],
  // any alignment. Specials::are_found: the names of special tokens become these tokens, the longest name first.
  // *out_missing: where the first byte is that has no token, neither its own nor the unknown one; SIZE_MAX if all have.
  // It may be NULL; such bytes are left out.
  size_t encode(std::string_view text, int32_t* tokens, size_t capacity, void* work,
                Specials specials = Specials::are_text, size_t* out_missing = nullptr) const;

  // The bytes of a token, 0 <= token < n_tokens; none for special tokens.
  std::string_view decode(int32_t token) const {
    return {text_ + offsets_[token], size_t(offsets_[token + 1] - offsets_[token])};
  }

 private:
  struct Merge {
    int32_t left, right;  // token ids; left -1: an empty slot
    int32_t rank, merged;
  };
  struct Special {
    const char* text;  // in the model file
    uint32_t n;
    int32_t id;
    std::string_view name() const { return {text, n}; }
  };
  class Ids;
  struct Layout;
  struct Symbol;
  struct Candidate;
  class Queue;

  const Merge* find_merge(int32_t left, int32_t right) const;
  int32_t find_token(std::string_view bytes) const;  // -1: none
  pith_status read_tokens(const MetaEntry& tokens, const MetaEntry* types, pith_error* error);
  pith_status read_token(int32_t id, std::string_view stored, pith_error* error);
  void read_control(int32_t id, std::string_view stored);
  void read_bytes();
  pith_status read_merges(const MetaEntry& merges, pith_error* error);
  pith_status read_merge(int32_t rank, std::string_view line, pith_error* error);
  pith_status read_specials(const ModelFile& file, pith_error* error);
  pith_status read_special(const ModelFile& file, const char* key, int32_t* id, pith_error* error) const;
  void sort_specials();
  const Special* special_at(std::string_view text) const;  // the longest one that the text begins with; NULL: none
  void encode_plain(std::string_view text, void* work, Ids* out) const;
  void encode_span(std::string_view span, void* work, Ids* out) const;
  void encode_piece(std::string_view piece, void* work, Ids* out) const;

  int32_t n_tokens_ = 0;
  int32_t bos_ = -1, eos_ = -1, unknown_ = -1;
  bool adds_bos_ = false;
  bool splits_digits_ = false;   // tokenizer.ggml.pre is "smollm"
  char* text_ = nullptr;         // the bytes of all tokens, then [longest] for the text of a merge
  size_t longest_ = 0;           // bytes of the longest token as stored
  uint32_t* offsets_ = nullptr;  // [n_tokens + 1]
  int32_t* id_slots_ = nullptr;  // hash table of ids by bytes, -1 = empty; [id_mask + 1]
  uint32_t id_mask_ = 0;
  Merge* merges_ = nullptr;  // hash table by (left, right); [merge_mask + 1]
  uint32_t merge_mask_ = 0;
  int32_t byte_ids_[256] = {};   // -1: none
  Special* specials_ = nullptr;  // [n_specials] by name, then by id
  size_t n_specials_ = 0;
  bool begins_special_[256] = {};  // by the first byte
};

// The first piece of text: `'s`, `'t`, ... | ` ?letters` | ` ?numbers` | ` ?others` | white space not before a word |
// white space. Bytes that are not UTF-8 count as others. Returns its length in bytes; 0 for no text.
size_t next_piece(std::string_view text);

// The first span of text, for patterns that make every number character (N*) a piece of its own: that character, or all
// before the next one, whose pieces do not see what follows. Returns its length in bytes; 0 for no text.
size_t next_span(std::string_view text);

}  // namespace pith::internal

struct pith_tokenizer {
  pith::internal::BpeTokenizer tokenizer;
};

#endif
