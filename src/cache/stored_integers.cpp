#include "cache/stored_integers.h"

#include <bit>

#include "wide_scale.h"

namespace pith::internal {

uint16_t store_integers(const Kernels& kernels, const float* x, int32_t n, int8_t* q) {
  const float exact = kernels.quantize_row(x, n, q);
  const uint16_t nearest = float_to_scale(exact);
  const uint16_t stored = scale_to_float(nearest) < exact ? uint16_t(nearest + 1) : nearest;
  const float inverse = 1 / scale_to_float(stored);
  if (!(inverse > 0)) return stored;   // not finite: what the integers are does not matter
  constexpr float kRound = 0x1.8p23f;  // of a sum with it the last bit is 1, so that it rounds to even
  for (int32_t i = 0; i < n; ++i)
    q[i] = int8_t(std::bit_cast<int32_t>(x[i] * inverse + kRound) - std::bit_cast<int32_t>(kRound));
  return stored;
}

}  // namespace pith::internal
