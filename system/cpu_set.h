// The CPUs that a thread may run on.
#ifndef PITH_SYSTEM_CPU_SET_H
#define PITH_SYSTEM_CPU_SET_H

#include <cstdint>

namespace pith::internal {

struct CpuSet {
  int32_t n = 1;
  uint64_t which = 0;  // a number that equal sets share
};

// Those of the calling thread.
CpuSet usable_cpus();

}  // namespace pith::internal

#endif
