#include "cpu_set.h"

#include <sched.h>

namespace pith::internal {

CpuSet usable_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {};
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (const uint8_t* byte = reinterpret_cast<const uint8_t*>(&set);
       byte < reinterpret_cast<const uint8_t*>(&set + 1); ++byte)
    hash = (hash ^ *byte) * 0x100000001b3ull;
  return {CPU_COUNT(&set), hash};
}

}  // namespace pith::internal
