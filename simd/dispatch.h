// The choice of a tier: a best-first list, taken once per session by CPU mask, or by name.
#ifndef PITH_SIMD_DISPATCH_H
#define PITH_SIMD_DISPATCH_H

#include <cstddef>

#include "kernels.h"

namespace pith::internal {

struct Tier {
  const Kernels* kernels;
  bool usable;  // this CPU has every feature of the tier
};

size_t tier_count();
Tier tier_at(size_t index);  // best first, index < tier_count()

// The best usable tier, or the named one; NULL if there is no usable tier of that name.
const Kernels* choose_tier(const char* name);

}  // namespace pith::internal

#endif
