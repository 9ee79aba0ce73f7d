// What the system says about the machine, and what a process holds of it.
#ifndef PITH_SYSTEM_MACHINE_H
#define PITH_SYSTEM_MACHINE_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace pith::internal {

uint64_t memory_bytes();    // of the machine; UINT64_MAX: it does not say
uint64_t resident_bytes();  // of this process in memory now, mapped files included; 0: it does not say
size_t last_cache_bytes();  // of one CPU's caches, the one next to the memory; 0: it does not say
std::string cpu_name();     // as people know it; "unknown"

}  // namespace pith::internal

#endif
