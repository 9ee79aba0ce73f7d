// One block of the columns that a panel is multiplied by.
#ifndef PITH_SIMD_GENERIC_COLUMNS_H
#define PITH_SIMD_GENERIC_COLUMNS_H

#include <cstddef>
#include <cstdint>

namespace pith::internal {

struct Columns {
  const int8_t* q;       // [32]        column j: q + j cols
  const int32_t* start;  // [4]         start + 4 j blocks; NULL where weights need none
  const int8_t* octets;  // [4][2][8]   octets + 2 j cols; NULL where the tier reads none
  size_t cols, blocks;   // of a whole column; cols = 32 blocks
};

}  // namespace pith::internal

#endif
