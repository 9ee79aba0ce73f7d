// The floating-point environment that the same bits rest on: round to nearest, denormals kept, no traps.
#ifndef PITH_SIMD_FP_ENVIRONMENT_H
#define PITH_SIMD_FP_ENVIRONMENT_H

#include <cstdint>

namespace pith::internal {

// Sets it for the calling thread and gives back what the host had at the end of the scope, status flags included.
class FpEnvironment {
 public:
  FpEnvironment();
  ~FpEnvironment();
  FpEnvironment(const FpEnvironment&) = delete;
  FpEnvironment& operator=(const FpEnvironment&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace pith::internal

#endif
