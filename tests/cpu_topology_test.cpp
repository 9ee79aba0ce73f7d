// Which CPUs a team should have: trees as Linux lists them on boards with one and with two kinds of cores.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "pith/pith.hpp"

namespace {

// A tree below a folder of its own, removed with it.
class Tree {
 public:
  Tree() : root_(std::filesystem::temp_directory_path() / ("pith-" + std::to_string(std::random_device{}()))) {}
  ~Tree() { std::filesystem::remove_all(root_); }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // One CPU more; capacity 0: this system has none. kHz likewise.
  Tree& add(int capacity, int khz) {
    const std::string cpu = "devices/system/cpu/cpu" + std::to_string(n_cpus_++) + "/";
    write(cpu + "topology/core_id", n_cpus_ - 1);
    if (capacity > 0) write(cpu + "cpu_capacity", capacity);
    if (khz > 0) write(cpu + "cpufreq/cpuinfo_max_freq", khz);
    return *this;
  }
  uint32_t count(const pith::CpuLimits& limits = {}) const { return pith::count_fast_cpus(root_.string(), limits); }
  double quota() const { return pith::cpu_quota((root_ / "cgroup").string(), (root_ / "groups").string()); }

  template <typename Value>
  void write(const std::string& name, const Value& value) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << value << "\n";
  }

 private:
  std::filesystem::path root_;
  int n_cpus_ = 0;
};

}  // namespace

TEST_CASE("the fast cluster of cores") {
  SUBCASE("Raspberry Pi 5: four Cortex-A76") {
    Tree tree;
    for (int i = 0; i < 4; ++i) tree.add(1024, 2400000);
    CHECK(tree.count() == 4);
  }
  SUBCASE("RK3588: four Cortex-A55, and two pairs of Cortex-A76 that were binned differently") {
    Tree tree;
    for (int i = 0; i < 4; ++i) tree.add(530, 1800000);
    tree.add(1024, 2400000).add(1024, 2400000).add(1006, 2352000).add(1006, 2352000);
    CHECK(tree.count() == 4);
  }
  SUBCASE("the same without capacities") {
    Tree tree;
    for (int i = 0; i < 4; ++i) tree.add(0, 1800000);
    tree.add(0, 2400000).add(0, 2400000).add(0, 2256000).add(0, 2256000);
    CHECK(tree.count() == 4);
  }
  SUBCASE("a phone: one prime core, three big ones, four little ones") {
    Tree tree;
    for (int i = 0; i < 4; ++i) tree.add(325, 2016000);
    for (int i = 0; i < 3; ++i) tree.add(828, 2803200);
    tree.add(1024, 3187200);
    CHECK(tree.count() == 4);
  }
  SUBCASE("a virtual machine that lists neither") {
    Tree tree;
    tree.add(0, 0).add(0, 0).add(0, 0);
    CHECK(tree.count() == 3);
  }
  SUBCASE("nothing listed") {
    const uint32_t all = std::max(1u, std::thread::hardware_concurrency());
    CHECK(Tree().count() == std::min(all, 64u));
  }
}

TEST_CASE("CPUs that a process may use") {
  Tree tree;
  for (int i = 0; i < 4; ++i) tree.add(530, 0);
  for (int i = 0; i < 4; ++i) tree.add(1024, 0);
  CHECK(tree.count() == 4);
  CHECK(tree.count({{true, true, true, true, true, true, false, false}, 0}) == 2);
  CHECK(tree.count({{true, true, true, false, false, false, false, false}, 0}) ==
        3);  // the best of those that are left
  CHECK(tree.count({{}, 2.5}) == 2);
  CHECK(tree.count({{}, 0.25}) == 1);
  CHECK(tree.count({{}, 100}) == 4);
  const pith::CpuLimits own = pith::cpu_limits();
  if (!own.allowed.empty())
    CHECK(size_t(std::count(own.allowed.begin(), own.allowed.end(), true)) == std::thread::hardware_concurrency());
}

TEST_CASE("quotas of control groups") {
  const Tree tree;
  CHECK(tree.quota() == 0);
  SUBCASE("version 2, and the least of all groups on the way up") {
    tree.write("cgroup", "0::/app.slice/job");
    CHECK(tree.quota() == 0);
    tree.write("groups/app.slice/job/cpu.max", "max 100000");
    CHECK(tree.quota() == 0);
    tree.write("groups/app.slice/cpu.max", "250000 100000");
    CHECK(tree.quota() == 2.5);
    tree.write("groups/app.slice/job/cpu.max", "50000 100000");
    CHECK(tree.quota() == 0.5);
    tree.write("groups/app.slice/job/cpu.max", "900000 100000");
    CHECK(tree.quota() == 2.5);
  }
  SUBCASE("version 2 in a container, whose group is the root") {
    tree.write("cgroup", "0::/");
    tree.write("groups/cpu.max", "150000 100000");
    CHECK(tree.quota() == 1.5);
  }
  SUBCASE("version 1, with the path of the host") {
    tree.write("cgroup", "11:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/docker/x");
    tree.write("groups/memory/docker/x/cpu.cfs_quota_us", 1);  // no such controller there
    tree.write("groups/cpu,cpuacct/cpu.cfs_quota_us", 300000);
    tree.write("groups/cpu,cpuacct/cpu.cfs_period_us", 100000);
    CHECK(tree.quota() == 3);
    tree.write("groups/cpu,cpuacct/docker/x/cpu.cfs_quota_us", -1);
    tree.write("groups/cpu,cpuacct/docker/x/cpu.cfs_period_us", 100000);
    CHECK(tree.quota() == 3);
  }
  SUBCASE("what is no such file") {
    tree.write("cgroup", "nonsense\n:\n1:cpu\n2:cpu:\n3:cpu:relative");
    tree.write("groups/cpu/cpu.cfs_quota_us", "many");
    CHECK(tree.quota() == 0);
  }
}
