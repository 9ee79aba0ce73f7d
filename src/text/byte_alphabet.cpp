#include "text/byte_alphabet.h"

#include "text/characters.h"

namespace pith::internal {
namespace {

bool is_printable(int32_t byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174; }

// The byte that the character at `at` stands for, or -1; moves `at` on.
int32_t next_byte(std::string_view text, size_t* at) {
  const uint8_t lead = uint8_t(text[(*at)++]);
  int32_t code = lead;
  if (lead >= 0x80) {
    const bool is_pair = lead >= 0xc2 && lead <= 0xc5 && *at < text.size() && (uint8_t(text[*at]) & 0xc0) == 0x80;
    if (!is_pair) return -1;
    code = (lead & 31) << 6 | (uint8_t(text[(*at)++]) & 63);
  }
  if (code < 256) return is_printable(code) ? code : -1;
  int32_t rest = code - 256;
  for (int32_t byte = 0; byte < 256; ++byte) {
    if (!is_printable(byte) && rest-- == 0) return byte;
  }
  return -1;
}

int32_t hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

}  // namespace

int64_t gpt2_bytes(std::string_view stored, char* out, size_t capacity) {
  size_t n = 0;
  for (size_t at = 0; at < stored.size();) {
    const int32_t byte = next_byte(stored, &at);
    if (byte < 0 || n == capacity) return -1;
    out[n++] = char(byte);
  }
  return int64_t(n);
}

size_t with_blanks(std::string_view stored, char* out) {
  constexpr std::string_view kBlank = "\xe2\x96\x81";
  size_t n = 0;
  for (size_t at = 0; at < stored.size();) {
    const bool is_blank = from(stored, at).starts_with(kBlank);
    out[n++] = is_blank ? ' ' : stored[at];
    at += is_blank ? kBlank.size() : 1;
  }
  return n;
}

int32_t byte_of_name(std::string_view name) {
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return -1;
  const int32_t high = hex_digit(name[3]), low = hex_digit(name[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace pith::internal
