// Reads tokenizer.model: SentencePiece's vocabulary in the wire format of Protocol Buffers.
#ifndef PITH_QUANTIZE_SENTENCE_PIECE_H
#define PITH_QUANTIZE_SENTENCE_PIECE_H

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pith::quantize {

struct SentencePiece {
  struct Piece {
    std::string text;
    float score = 0;
    int32_t type = 1;  // as GGUF's token types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  };
  std::vector<Piece> pieces;
  bool is_bpe = false;  // merges pairs by score; otherwise another algorithm
  bool adds_space = true;
  bool writes_blanks = true;  // a blank is U+2581, in front of a word; otherwise left out, or behind it
  bool changes_text = false;  // before anything else: characters into others, or several blanks into one
};

// Throws std::runtime_error for bytes that are no such message. Source: sentencepiece_model.proto.
SentencePiece read_sentence_piece(std::string_view bytes);

}  // namespace pith::quantize

#endif
