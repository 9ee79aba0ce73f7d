// Numbers as the cache and the pool store them in int8.
#ifndef PITH_CACHE_STORED_INTEGERS_H
#define PITH_CACHE_STORED_INTEGERS_H

#include <cstdint>

#include "kernels.h"

namespace pith::internal {

// x [n] in -127 .. 127 steps of a scale that is returned as wide_scale.h writes it. The scale is rounded first, and up,
// so that its rounding makes the steps at most 2^-9 larger, and the numbers wrong by no more than half a step of their
// own.
uint16_t store_integers(const Kernels& kernels, const float* x, int32_t n, int8_t* q);

}  // namespace pith::internal

#endif
