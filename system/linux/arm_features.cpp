#include "arm_features.h"

#include <sys/auxv.h>

namespace pith::internal {

ArmFeatures arm_features() {
  constexpr unsigned long kDotprod = 1ul << 20, kI8mm = 1ul << 13;  // HWCAP_ASIMDDP, HWCAP2_I8MM
  return {(getauxval(AT_HWCAP) & kDotprod) != 0, (getauxval(AT_HWCAP2) & kI8mm) != 0};
}

}  // namespace pith::internal
