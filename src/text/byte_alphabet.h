// The alphabets in which files write the bytes of tokens.
#ifndef PITH_TEXT_BYTE_ALPHABET_H
#define PITH_TEXT_BYTE_ALPHABET_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pith::internal {

// GPT-2 writes a byte as the character of the same code where that is printable, and otherwise as U+0100 and up. Writes
// the bytes that `stored` stands for to out [capacity] and returns how many; -1: another alphabet, or no room.
int64_t gpt2_bytes(std::string_view stored, char* out, size_t capacity);

// SentencePiece writes a blank as U+2581. Writes `stored` with blanks to out [stored.size()] and returns how many
// bytes.
size_t with_blanks(std::string_view stored, char* out);

// The byte that SentencePiece writes as "<0xXX>", or -1.
int32_t byte_of_name(std::string_view name);

}  // namespace pith::internal

#endif
