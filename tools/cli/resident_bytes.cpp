#include "resident_bytes.h"

#include <fstream>

#ifdef __linux__
#include <unistd.h>
#endif

namespace pith::cli {

uint64_t resident_bytes() {
#ifdef __linux__
  uint64_t pages = 0, resident = 0;  // proc(5): the first two numbers
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * uint64_t(::sysconf(_SC_PAGESIZE));
#else
  return 0;
#endif
}

}  // namespace pith::cli
