#include "cpu_set.h"

#include <unistd.h>

namespace pith::internal {

CpuSet usable_cpus() {
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
  return {n > 0 ? int32_t(n) : 1, 0};
}

}  // namespace pith::internal
