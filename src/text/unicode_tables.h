// The kinds of Unicode characters that the pre-tokeniser tells apart. The table is generated.
#ifndef PITH_TEXT_UNICODE_TABLES_H
#define PITH_TEXT_UNICODE_TABLES_H

#include <cstdint>

namespace pith::internal {

enum class UnicodeKind : uint8_t { other, letter, number, space };  // L*, N*, White_Space

struct UnicodeRange {
  uint32_t first, last;
  UnicodeKind kind;
};

extern const UnicodeRange kUnicodeRanges[];  // [kUnicodeRangeCount], ascending, disjoint
extern const int32_t kUnicodeRangeCount;

}  // namespace pith::internal

#endif
