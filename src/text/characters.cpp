#include "text/characters.h"

namespace pith::internal {
namespace {

UnicodeKind find_kind(uint32_t code) {
  int32_t low = 0, high = kUnicodeRangeCount - 1;
  while (low <= high) {
    const int32_t middle = (low + high) / 2;
    const UnicodeRange& range = kUnicodeRanges[middle];
    if (code < range.first) high = middle - 1;
    else if (code > range.last) low = middle + 1;
    else if (range.kind == kAlternating) return (code - range.first) % 2 == 0 ? kUpper : kLower;
    else return range.kind;
  }
  return 0;
}

UnicodeKind ascii_kind(uint32_t code) {
  if (code - 'a' < 26) return kLower;
  if (code - 'A' < 26) return kUpper;
  if (code - '0' < 10) return kNumber;
  if (code == ' ' || code - '\t' < 5) return kSpace;
  return find_kind(code);
}

}  // namespace

Character character_at(std::string_view text, size_t at) {
  if (at >= text.size()) return {0, 0, 0};
  const auto byte = [&](size_t i) -> uint32_t { return at + i < text.size() ? uint8_t(text[at + i]) : 0; };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, ascii_kind(lead)};
  const uint32_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  uint32_t code = lead & (0x7fu >> n);
  bool is_valid = lead >= 0xc2 && lead <= 0xf4;
  for (uint32_t i = 1; i < n; ++i) {
    is_valid = is_valid && (byte(i) & 0xc0) == 0x80;
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  is_valid = is_valid && code >= kSmallest[n] && code < 0x110000 && (code < 0xd800 || code > 0xdfff);
  return is_valid ? Character{code, n, find_kind(code)} : Character{kNoCharacter + lead, 1, 0};
}

}  // namespace pith::internal
