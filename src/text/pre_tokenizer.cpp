// The GPT-2 pattern by hand:  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
#include "text/tokenizer.h"
#include "text/unicode_tables.h"

namespace pith::internal {
namespace {

struct Character {
  UnicodeKind kind;
  size_t bytes;  // 0: end of the text
};

UnicodeKind kind_of(uint32_t code) {
  int32_t low = 0, high = kUnicodeRangeCount - 1;
  while (low <= high) {
    const int32_t middle = (low + high) / 2;
    const UnicodeRange& range = kUnicodeRanges[middle];
    if (code < range.first) high = middle - 1;
    else if (code > range.last) low = middle + 1;
    else return range.kind;
  }
  return UnicodeKind::other;
}

// The character at `at`; a byte that does not begin valid UTF-8 is a character of its own.
Character character_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {UnicodeKind::other, 0};
  const auto byte = [&](size_t i) -> uint32_t { return at + i < text.size() ? uint8_t(text[at + i]) : 0; };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {kind_of(lead), 1};
  const size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  uint32_t code = lead & (0x7fu >> n);
  bool is_valid = lead >= 0xc2 && lead <= 0xf4;
  for (size_t i = 1; i < n; ++i) {
    is_valid = is_valid && (byte(i) & 0xc0) == 0x80;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  is_valid = is_valid && code >= kSmallest[n] && code < 0x110000 && (code < 0xd800 || code > 0xdfff);
  return is_valid ? Character{kind_of(code), n} : Character{UnicodeKind::other, 1};
}

// End of the run of characters of `kind` that begins at `at`.
size_t run_end(std::string_view text, size_t at, UnicodeKind kind) {
  for (Character c = character_at(text, at); c.bytes > 0 && c.kind == kind; c = character_at(text, at)) at += c.bytes;
  return at;
}

size_t contraction(std::string_view text) {
  const char* const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  for (const char* ending : endings) {
    if (text.starts_with(ending)) return std::string_view(ending).size();
  }
  return 0;
}

}  // namespace

size_t next_piece(std::string_view text) {
  if (const size_t n = contraction(text)) return n;
  const size_t lead = text.starts_with(' ') ? 1 : 0;
  const Character first = character_at(text, lead);
  if (first.bytes > 0 && first.kind != UnicodeKind::space) return run_end(text, lead, first.kind);
  // White space: all of it at the end of the text; otherwise all but its last character, which goes with the word that
  // follows (or, if it is not a plain space, stands alone).
  size_t at = 0, before_last = 0;
  for (Character c = character_at(text, 0); c.bytes > 0 && c.kind == UnicodeKind::space; c = character_at(text, at)) {
    before_last = at;
    at += c.bytes;
  }
  return at < text.size() && before_last > 0 ? before_last : at;
}

size_t next_span(std::string_view text) {
  size_t at = 0;
  for (Character c = character_at(text, 0); c.bytes > 0; c = character_at(text, at)) {
    if (c.kind == UnicodeKind::number) return at > 0 ? at : c.bytes;
    at += c.bytes;
  }
  return at;
}

}  // namespace pith::internal
