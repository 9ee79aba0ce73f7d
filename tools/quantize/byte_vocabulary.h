// A vocabulary for models of random weights.
#ifndef PITH_QUANTIZE_BYTE_VOCABULARY_H
#define PITH_QUANTIZE_BYTE_VOCABULARY_H

#include <cstdint>

#include "gguf_writer.h"

namespace pith::quantize {

// tokenizer.ggml.* of `vocab_size` >= 257 tokens: <|endoftext|> (begin and end of text), the 256 bytes, then words: a
// space and letters, shortest first. A word is the merge of the word without its last letter and that letter, so that no
// two merges compete and encoding a word's text gives that word's token.
void write_byte_vocabulary(int32_t vocab_size, GgufWriter* writer);

}  // namespace pith::quantize

#endif
