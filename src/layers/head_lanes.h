// Whatever belongs to a token and a head is [n, lanes]: heads lie in vector lanes, padded to a multiple of 16.
#ifndef PITH_LAYERS_HEAD_LANES_H
#define PITH_LAYERS_HEAD_LANES_H

#include <cstdint>

namespace pith::internal {

constexpr int32_t kHeadLanes = 16;
constexpr int32_t padded_lanes(int32_t n_heads) { return (n_heads + kHeadLanes - 1) / kHeadLanes * kHeadLanes; }

}  // namespace pith::internal

#endif
