#include "machine.h"

#include <windows.h>
// After it.
#include <psapi.h>

#include <vector>

namespace pith::internal {

uint64_t memory_bytes() {
  MEMORYSTATUSEX status{};
  status.dwLength = sizeof status;
  return GlobalMemoryStatusEx(&status) != 0 ? status.ullTotalPhys : UINT64_MAX;
}

uint64_t resident_bytes() {
  PROCESS_MEMORY_COUNTERS counters{};
  return GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters) != 0 ? counters.WorkingSetSize : 0;
}

size_t last_cache_bytes() {
  DWORD bytes = 0;
  GetLogicalProcessorInformation(nullptr, &bytes);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> parts(bytes / sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
  if (parts.empty() || GetLogicalProcessorInformation(parts.data(), &bytes) == 0) return 0;
  for (const auto& part : parts) {
    if (part.Relationship == RelationCache && part.Cache.Level == 3) return part.Cache.Size;
  }
  return 0;
}

std::string cpu_name() {
  char name[256] = "";
  DWORD bytes = sizeof name;
  const LSTATUS status = RegGetValueA(HKEY_LOCAL_MACHINE, "HARDWARE\\DESCRIPTION\\System\\CentralProcessor\\0",
                                      "ProcessorNameString", RRF_RT_REG_SZ, nullptr, name, &bytes);
  return status == ERROR_SUCCESS ? name : "unknown";
}

}  // namespace pith::internal
