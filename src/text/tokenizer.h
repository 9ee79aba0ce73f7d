// Text to token ids and back: added tokens are found in the text, and what is between them is split and merged, by
// byte-level BPE (pre_tokenizer.h, byte_merges.h) or SentencePiece's (score_merges.h). A vocabulary may lack tokens of
// bytes that its texts never had: text with such a byte has the unknown token there, or no ids at all.
#ifndef PITH_TEXT_TOKENIZER_H
#define PITH_TEXT_TOKENIZER_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/arena.h"
#include "model/model_file.h"
#include "text/merge_table.h"
#include "text/pre_tokenizer.h"
#include "text/vocabulary.h"

namespace pith::internal {

enum class Specials : uint8_t { are_text, are_found };  // what their names in a text are
enum class Place : uint8_t { at_start, within };        // where SentencePiece puts a blank in front, and where not

// How a text is read.
struct Reading {
  Specials specials = Specials::are_text;
  Place place = Place::at_start;
  const int32_t* never = nullptr;  // [n_never <= 16]: added tokens that the text does not make, whatever it spells
  size_t n_never = 0;

  bool makes(int32_t token) const {
    for (size_t i = 0; i < n_never; ++i) {
      if (never[i] == token) return false;
    }
    return true;
  }
};

class TextTokenizer {
 public:
  static constexpr size_t kMaxText = Vocabulary::kMaxBytes;  // bytes of a text: they are counted in 32 bits

  // Memory for init(), from the metadata.
  static pith_status bytes(const ModelFile& file, size_t* out_bytes, pith_error* error);
  pith_status init(const ModelFile& file, void* memory, pith_error* error);

  const Vocabulary& vocabulary() const { return vocabulary_; }
  int32_t bos() const { return vocabulary_.bos(); }
  int32_t eos() const { return vocabulary_.eos(); }
  int32_t n_tokens() const { return vocabulary_.n_tokens(); }
  bool adds_bos() const { return vocabulary_.adds_bos(); }
  bool is_end(int32_t token) const { return vocabulary_.is_end(token); }          // 0 <= token < n_tokens
  bool is_special(int32_t token) const { return vocabulary_.is_special(token); }  // the same

  // -1: none. An added token by its text in the file, any other by its bytes.
  int32_t token_id(std::string_view text) const;
  int32_t added_id(std::string_view text) const { return vocabulary_.added().find(text); }  // -1: no added token

  static size_t work_bytes(size_t n_bytes);  // SIZE_MAX for a text that is too long

  // Writes at most `capacity` ids and returns how many the text has. work: [work_bytes], any alignment.
  // Specials::are_found: the names of special tokens become these tokens; those of user-defined tokens do unless
  // `reading` has them as `never`. *out_missing: where the first byte is that has no token, neither its own nor the
  // unknown one; SIZE_MAX if all have. It may be NULL; such bytes are left out.
  size_t encode(std::string_view text, int32_t* tokens, size_t capacity, void* work, const Reading& reading = {},
                size_t* out_missing = nullptr) const;

  // The bytes of a token, 0 <= token < n_tokens; none for special and unused tokens.
  std::string_view decode(int32_t token) const {
    const bool has_bytes = !is_special(token) && vocabulary_.type(token) != TokenType::unused;
    return has_bytes ? vocabulary_.bytes(token) : std::string_view();
  }
  // The same; for special and unused tokens, their names.
  std::string_view text(int32_t token) const { return vocabulary_.bytes(token); }

 private:
  class Ids;
  struct Work;

  void lay_out(Arena* arena, const TokenArrays& arrays, size_t n_merges);
  template <typename Encode>
  void part(std::string_view text, const int32_t* starts, Ids* out, const Encode& encode) const;
  bool has_blank_in_front(const Reading& reading) const {
    return vocabulary_.adds_space() && reading.place == Place::at_start;
  }
  // Whether a character that is no token becomes tokens of its bytes.
  bool has_bytes() const { return vocabulary_.has_byte_tokens() || vocabulary_.unknown() < 0; }
  void find_added(std::string_view text, AddedTokens::Which which, const Reading& reading, int32_t* starts) const;
  void encode_bytes(std::string_view text, const Work& work, Ids* out) const;
  void merge_pieces(std::string_view text, const Work& work, Ids* out) const;
  void merge_piece(std::string_view piece, const Work& work, Ids* out) const;
  void encode_blanked(std::string_view text, const Work& work, Ids* out) const;
  void encode_chunk(std::string_view chunk, const Work& work, int32_t* starts, Ids* out) const;
  void merge_characters(std::string_view text, std::string_view chunk, const Work& work, Ids* out) const;
  void put_characters(std::string_view text, size_t first, size_t end, std::string_view chunk, const Work& work,
                      Ids* out) const;
  void put_bytes(std::string_view text, size_t at, std::string_view chunk, const Work& work, Ids* out) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  const PreTokenizer* pattern_ = nullptr;  // NULL: SentencePiece
};

}  // namespace pith::internal

struct pith_tokenizer {
  pith::internal::TextTokenizer tokenizer;
};

#endif
