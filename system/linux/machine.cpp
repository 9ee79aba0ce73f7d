#include "machine.h"

#include <unistd.h>

#include <fstream>

namespace pith::internal {

uint64_t memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? uint64_t(pages) * uint64_t(page) : UINT64_MAX;
}

uint64_t resident_bytes() {
  uint64_t pages = 0, resident = 0;  // proc(5): the first two numbers
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * uint64_t(::sysconf(_SC_PAGESIZE));
}

size_t last_cache_bytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE  // glibc
  const long bytes = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  return bytes > 0 ? size_t(bytes) : 0;
#else
  size_t kib = 0;  // sysfs(5) writes "32768K"
  std::ifstream("/sys/devices/system/cpu/cpu0/cache/index3/size") >> kib;
  return kib << 10;
#endif
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  }
  return "unknown";
}

}  // namespace pith::internal
