// What the operating system says about a 64-bit ARM CPU, whose own registers it keeps to itself.
#ifndef PITH_SYSTEM_ARM_FEATURES_H
#define PITH_SYSTEM_ARM_FEATURES_H

namespace pith::internal {

struct ArmFeatures {
  bool dotprod = false;  // SDOT, of ARMv8.2
  bool i8mm = false;     // SMMLA, of ARMv8.6
};

ArmFeatures arm_features();

}  // namespace pith::internal

#endif
