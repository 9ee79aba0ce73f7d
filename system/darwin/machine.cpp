#include "machine.h"

#include <mach/mach.h>
#include <sys/sysctl.h>

namespace pith::internal {
namespace {

// A number that the system has under a name; 0: it has none.
uint64_t number_of(const char* name) {
  uint64_t value = 0;
  size_t bytes = sizeof value;
  return sysctlbyname(name, &value, &bytes, nullptr, 0) == 0 ? value : 0;
}

}  // namespace

uint64_t memory_bytes() {
  const uint64_t bytes = number_of("hw.memsize");
  return bytes != 0 ? bytes : UINT64_MAX;
}

uint64_t resident_bytes() {
  mach_task_basic_info info{};
  mach_msg_type_number_t n = MACH_TASK_BASIC_INFO_COUNT;
  const kern_return_t status =
      task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info), &n);
  return status == KERN_SUCCESS ? info.resident_size : 0;
}

// Intel's CPUs have a third cache; Apple's say nothing of theirs, and their fast cores share a second one.
size_t last_cache_bytes() {
  const uint64_t third = number_of("hw.l3cachesize");
  return size_t(third != 0 ? third : number_of("hw.perflevel0.l2cachesize"));
}

std::string cpu_name() {
  char name[256] = "";
  size_t bytes = sizeof name - 1;
  return sysctlbyname("machdep.cpu.brand_string", name, &bytes, nullptr, 0) == 0 ? name : "unknown";
}

}  // namespace pith::internal
