#include "arm_features.h"

#include <windows.h>

namespace pith::internal {

ArmFeatures arm_features() {
  constexpr DWORD kDotprod = 43, kI8mm = 66;  // PF_ARM_V82_DP_, PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE
  return {IsProcessorFeaturePresent(kDotprod) != 0, IsProcessorFeaturePresent(kI8mm) != 0};
}

}  // namespace pith::internal
