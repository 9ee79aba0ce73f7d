// The characters of a text in UTF-8, and what kind each is.
#ifndef PITH_TEXT_CHARACTERS_H
#define PITH_TEXT_CHARACTERS_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/unicode_tables.h"

namespace pith::internal {

// text[at ..], at <= text.size(), and at most n bytes of it: substr would refer to an exception.
constexpr std::string_view from(std::string_view text, size_t at) { return {text.data() + at, text.size() - at}; }
constexpr std::string_view from(std::string_view text, size_t at, size_t n) {
  return {text.data() + at, n < text.size() - at ? n : text.size() - at};
}

// Codes from here on stand for a byte that does not begin valid UTF-8.
constexpr uint32_t kNoCharacter = 0x110000;

struct Character {
  uint32_t code;   // or kNoCharacter + the byte, or 0 at the end of the text
  uint32_t bytes;  // 0: end of the text
  UnicodeKind kind;

  bool is(UnicodeKind kinds) const { return (kind & kinds) != 0; }
  bool is_line_end() const { return code == '\n' || code == '\r'; }
};

// The character at `at`, 0 <= at <= text.size(); a byte that does not begin valid UTF-8 is one of its own, without a
// kind.
Character character_at(std::string_view text, size_t at);

}  // namespace pith::internal

#endif
