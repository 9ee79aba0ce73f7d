#include "arm_features.h"

#include <sys/sysctl.h>

#include <cstddef>
#include <cstdint>

namespace pith::internal {
namespace {

bool is_set(const char* name) {
  int32_t value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(name, &value, &bytes, nullptr, 0) == 0 && value != 0;
}

}  // namespace

ArmFeatures arm_features() {
  return {is_set("hw.optional.arm.FEAT_DotProd"), is_set("hw.optional.arm.FEAT_I8MM")};
}

}  // namespace pith::internal
