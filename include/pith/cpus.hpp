// How many threads to give a session.
#ifndef PITH_CPUS_HPP
#define PITH_CPUS_HPP

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "windows_header.hpp"

namespace pith {

// What a process may use of the machine's CPUs.
struct CpuLimits {
  std::vector<bool> allowed;  // by CPU, from its affinity (taskset, cpusets); empty: all
  double quota = 0;           // CPUs' worth of time, from control groups (containers, systemd's CPUQuota); 0: no limit
};

// The quota of the control groups of this process, from version 2 (cpu.max) or 1 (cpu.cfs_quota_us), the least on the
// way up to the root; `cgroup_file`: /proc/self/cgroup; `mount`: /sys/fs/cgroup. Inside a container the path may be the
// host's, and its limit then stands at the root.
inline double cpu_quota(const std::string& cgroup_file, const std::string& mount) {
  double least = 0;
  const auto consider = [&](double quota, double period) {
    if (quota > 0 && period > 0 && (least == 0 || quota / period < least)) least = quota / period;
  };
  const auto read_group = [&](const std::string& folder) {
    double quota = 0, period = 0;
    if (std::ifstream max(folder + "/cpu.max"); max >> quota >> period) consider(quota, period);
    std::ifstream of_quota(folder + "/cpu.cfs_quota_us"), of_period(folder + "/cpu.cfs_period_us");
    if (of_quota >> quota && of_period >> period) consider(quota, period);
  };
  std::ifstream groups(cgroup_file);
  for (std::string line; std::getline(groups, line);) {  // number : controllers : path
    const size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers(1, ',');
    controllers.append(line, first + 1, second - first - 1).push_back(',');
    const bool is_unified = controllers == ",,";
    if (!is_unified && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string folder = is_unified ? mount : mount + "/" + line.substr(first + 1, second - first - 1);
    for (std::string path = line.substr(second + 1);; path.resize(path.find_last_of('/'))) {
      read_group(folder + path);
      if (!is_unified) read_group(mount + "/cpu" + path);
      if (path.find_last_of('/') == std::string::npos) break;
    }
  }
  return least;
}

inline CpuLimits cpu_limits() {
  CpuLimits limits;
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) limits.allowed.push_back(CPU_ISSET(cpu, &set) != 0);
  }
  limits.quota = cpu_quota("/proc/self/cgroup", "/sys/fs/cgroup");
#endif
  return limits;
}

#if defined(__APPLE__)
// The CPUs of the fastest kind, which the system numbers 0; 0: it does not say.
inline size_t count_fastest_cpus() {
  int32_t n = 0;
  size_t bytes = sizeof n;
  return sysctlbyname("hw.perflevel0.logicalcpu", &n, &bytes, nullptr, 0) == 0 && n > 0 ? size_t(n) : 0;
}
#elif defined(_WIN32)
// The CPUs of the fastest kind among those that this process may use, in the first group of 64; 0: the system does not
// say.
inline size_t count_fastest_cpus() {
  DWORD_PTR allowed = 0, of_system = 0;
  DWORD bytes = 0;
  GetLogicalProcessorInformationEx(RelationProcessorCore, nullptr, &bytes);
  std::vector<char> cores(bytes);
  const auto core_at = [&](DWORD at) {
    return reinterpret_cast<const SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX*>(cores.data() + at);
  };
  if (bytes == 0 || GetProcessAffinityMask(GetCurrentProcess(), &allowed, &of_system) == 0 ||
      GetLogicalProcessorInformationEx(
          RelationProcessorCore, reinterpret_cast<SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX*>(cores.data()), &bytes) == 0)
    return 0;
  size_t n = 0;
  int fastest = -1;
  for (DWORD at = 0; at < bytes; at += core_at(at)->Size) {
    const PROCESSOR_RELATIONSHIP& core = core_at(at)->Processor;
    const size_t n_usable = core.GroupMask[0].Group == 0 ? size_t(std::popcount(core.GroupMask[0].Mask & allowed)) : 0;
    if (n_usable == 0 || core.EfficiencyClass < fastest) continue;
    n = core.EfficiencyClass > fastest ? n_usable : n + n_usable;
    fastest = core.EfficiencyClass;
  }
  return n;
}
#else
inline size_t count_fastest_cpus() { return 0; }
#endif

// How many fast CPUs there are among those that this process may use: little cores beside them hold a whole team up. On
// macOS and Windows those that the system calls the fastest. On Linux, from the lists below `sysfs`: by cpu_capacity,
// at least two thirds of the best (a phone's prime and big cores, no little ones); or else by the highest frequency, at
// least nine tenths. All CPUs where nothing is listed. No more than the quota is worth, rounded down: a team that is
// throttled waits as a whole. At most 64, what max_threads takes.
inline uint32_t count_fast_cpus(const std::string& sysfs = "/sys", const CpuLimits& limits = cpu_limits()) {
  std::vector<long> capacities, frequencies;
  const auto read_number = [&](size_t cpu, const char* name) -> long {
    std::ifstream in(sysfs + "/devices/system/cpu/cpu" + std::to_string(cpu) + "/" + name);
    long value = 0;
    return in >> value ? value : 0;
  };
  for (size_t cpu = 0; cpu < 1024; ++cpu) {
    std::ifstream present(sysfs + "/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_id");
    if (!present.good()) break;
    if (cpu < limits.allowed.size() && !limits.allowed[cpu]) continue;
    capacities.push_back(read_number(cpu, "cpu_capacity"));
    frequencies.push_back(read_number(cpu, "cpufreq/cpuinfo_max_freq"));
  }
  const auto count = [](const std::vector<long>& speeds, double share) {
    const auto best = std::max_element(speeds.begin(), speeds.end());
    if (best == speeds.end() || *best == 0) return speeds.size();
    return size_t(std::count_if(speeds.begin(), speeds.end(),
                                [&](long speed) { return double(speed) >= share * double(*best); }));
  };
  const bool has_capacities = std::any_of(capacities.begin(), capacities.end(), [](long c) { return c > 0; });
  size_t fastest = has_capacities ? count(capacities, 2.0 / 3) : count(frequencies, 0.9);
  if (fastest == 0) fastest = count_fastest_cpus();
  size_t n = fastest == 0 ? std::thread::hardware_concurrency() : fastest;
  if (limits.quota > 0) n = std::min(n, size_t(limits.quota));
  return uint32_t(std::clamp<size_t>(n, 1, 64));
}

}  // namespace pith

#endif
