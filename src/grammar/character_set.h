// Sets of characters, and the bytes of UTF-8 that spell one of them.
#ifndef PITH_GRAMMAR_CHARACTER_SET_H
#define PITH_GRAMMAR_CHARACTER_SET_H

#include <cstdint>
#include <initializer_list>

namespace pith::internal {

constexpr uint32_t kMaxCharacter = 0x10ffff;

// The bytes of a character; returns how many there are.
inline uint32_t write_utf8(uint32_t c, uint8_t* out) {
  if (c < 0x80) {
    out[0] = uint8_t(c);
    return 1;
  }
  const uint32_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  constexpr uint8_t kLead[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (uint32_t i = n - 1; i > 0; --i, c >>= 6) out[i] = uint8_t(0x80 | (c & 0x3f));
  out[0] = uint8_t(kLead[n] | c);
  return n;
}

class CharacterSet {
 public:
  static constexpr uint32_t kMaxRanges = 256;
  struct Range {
    uint32_t first, last;
  };

  void add(uint32_t first, uint32_t last);  // first <= last
  void add(uint32_t character) { add(character, character); }
  void add(const CharacterSet& other);
  void negate();                             // of all characters
  void keep(uint32_t first, uint32_t last);  // drops what is outside
  void remove(uint32_t first, uint32_t last);

  bool has(uint32_t character) const;
  bool is_empty() const { return n_ == 0; }
  bool is_full() const { return is_full_; }  // it had more than kMaxRanges: it is of no use
  uint32_t n_ranges() const { return n_; }
  const Range& range(uint32_t i) const { return ranges_[i]; }  // rising, with a gap between any two

 private:
  Range ranges_[kMaxRanges];
  uint32_t n_ = 0;
  bool is_full_ = false;
};

struct ByteRange {
  uint8_t first, last;
};

// Hands out ranges of one length in bytes whose characters are all combinations of a range of bytes each.
template <typename Take>
void for_utf8_sequences(uint32_t first, uint32_t last, const Take& take) {
  CharacterSet::Range rest[16];  // of one range at most three parts per length wait
  uint32_t n_rest = 0;
  rest[n_rest++] = {first, last};
  while (n_rest > 0) {
    const CharacterSet::Range r = rest[--n_rest];
    if (r.first > r.last) continue;
    const auto split = [&](uint32_t at) {  // at: the first of the second part
      rest[n_rest++] = {at, r.last};
      rest[n_rest++] = {r.first, at - 1};
    };
    bool is_split = false;
    for (const uint32_t bound : {0x80u, 0x800u, 0xd800u, 0xe000u, 0x10000u}) {  // lengths; surrogates
      if (r.first < bound && r.last >= bound) {
        split(bound);
        is_split = true;
        break;
      }
    }
    if (is_split || (r.first >= 0xd800 && r.first < 0xe000)) continue;
    uint8_t low[4], high[4];
    const uint32_t n = write_utf8(r.first, low);
    for (uint32_t i = 1; i < n && !is_split; ++i) {
      const uint32_t mask = (1u << (6 * i)) - 1;  // of the last i bytes
      if ((r.first & ~mask) == (r.last & ~mask)) continue;
      if ((r.first & mask) != 0) split((r.first | mask) + 1);
      else if ((r.last & mask) != mask) split(r.last & ~mask);
      else continue;
      is_split = true;
    }
    if (is_split) continue;
    write_utf8(r.last, high);
    ByteRange bytes[4];
    for (uint32_t i = 0; i < n; ++i) bytes[i] = {low[i], high[i]};
    take(bytes, n);
  }
}

template <typename Take>
void for_utf8_sequences(const CharacterSet& set, const Take& take) {
  for (uint32_t i = 0; i < set.n_ranges(); ++i) for_utf8_sequences(set.range(i).first, set.range(i).last, take);
}

}  // namespace pith::internal

#endif
