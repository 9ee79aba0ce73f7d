// Bytes of queries and of the rows that they meet, for tests of attention's kernels: any, and those that come nearest to what a
// sum of products can hold.
#ifndef PITH_TESTS_ROW_VALUES_H
#define PITH_TESTS_ROW_VALUES_H

#include "kernel_testing.h"

namespace pith::test {

enum class Values { any, ends, high, opposite, hidden };  // hidden: q is 0 at odd places, where rows hold any byte

inline int8_t value_of(Values values, bool is_query, size_t at, Random* random) {
  switch (values) {
    case Values::ends: return random->engine() % 2 == 0 ? 127 : -127;
    case Values::high: return 127;
    case Values::opposite: return is_query ? 127 : -127;
    case Values::hidden:
      if (at % 2 == 1) return is_query ? int8_t(0) : int8_t(random->engine() % 4 == 0 ? -128 : int(random->engine()));
      break;
    case Values::any: break;
  }
  return int8_t(int(random->engine() % 255) - 127);
}

}  // namespace pith::test

#endif
