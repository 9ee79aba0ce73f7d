#include "cpu_set.h"

#include <windows.h>

namespace pith::internal {

// Of the process, within its group of at most 64 CPUs.
CpuSet usable_cpus() {
  DWORD_PTR of_process = 0, of_system = 0;
  if (GetProcessAffinityMask(GetCurrentProcess(), &of_process, &of_system) == 0 || of_process == 0) return {};
  return {__builtin_popcountll(of_process), of_process};
}

}  // namespace pith::internal
