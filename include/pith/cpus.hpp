// How many threads to give a session.
#ifndef PITH_CPUS_HPP
#define PITH_CPUS_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace pith {

// How many fast CPUs there are among those that Linux lists below `sysfs`: little cores beside them hold a whole team
// up. By cpu_capacity, at least two thirds of the best (a phone's prime and big cores, no little ones); or else by the
// highest frequency, at least nine tenths. All CPUs where nothing is listed; at most 64, what max_threads takes.
inline uint32_t count_fast_cpus(const std::string& sysfs = "/sys") {
  std::vector<long> capacities, frequencies;
  const auto read_number = [&](size_t cpu, const char* name) -> long {
    std::ifstream in(sysfs + "/devices/system/cpu/cpu" + std::to_string(cpu) + "/" + name);
    long value = 0;
    return in >> value ? value : 0;
  };
  const size_t n_cpus = std::thread::hardware_concurrency();
  for (size_t cpu = 0; cpu < 1024; ++cpu) {
    std::ifstream present(sysfs + "/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/core_id");
    if (!present.good()) break;
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
  const size_t fastest = has_capacities ? count(capacities, 2.0 / 3) : count(frequencies, 0.9);
  const size_t n = fastest == 0 ? n_cpus : fastest;
  return uint32_t(std::clamp<size_t>(n, 1, 64));
}

}  // namespace pith

#endif
