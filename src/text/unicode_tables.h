// The kinds of Unicode characters that the pre-tokenisers tell apart. The table is generated.
#ifndef PITH_TEXT_UNICODE_TABLES_H
#define PITH_TEXT_UNICODE_TABLES_H

#include <cstdint>

namespace pith::internal {

// A character's kind: at most one of these bits, and kHan. Patterns ask for several at once.
using UnicodeKind = uint16_t;
constexpr UnicodeKind kUpper = 1;          // Lu, Lt
constexpr UnicodeKind kLower = 2;          // Ll
constexpr UnicodeKind kCaseless = 4;       // Lm, Lo
constexpr UnicodeKind kMark = 8;           // M*
constexpr UnicodeKind kNumber = 16;        // N*
constexpr UnicodeKind kPunctuation = 32;   // P*
constexpr UnicodeKind kSymbol = 64;        // S*
constexpr UnicodeKind kSpace = 128;        // White_Space, line ends among them
constexpr UnicodeKind kHan = 256;          // Script=Han
constexpr UnicodeKind kAlternating = 512;  // of a range: kUpper first, then kLower and kUpper in turn
constexpr UnicodeKind kLetter = kUpper | kLower | kCaseless;

struct UnicodeRange {
  uint32_t first, last;
  UnicodeKind kind;
};

extern const UnicodeRange
    kUnicodeRanges[];  // [kUnicodeRangeCount], ascending, disjoint; characters outside have no kind
extern const int32_t kUnicodeRangeCount;

}  // namespace pith::internal

#endif
