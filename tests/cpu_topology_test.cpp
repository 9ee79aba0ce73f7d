// Which CPUs a team should have: trees as Linux lists them on boards with one and with two kinds of cores.
#include <doctest/doctest.h>

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
  uint32_t count() const { return pith::count_fast_cpus(root_.string()); }

 private:
  void write(const std::string& name, int value) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << value << "\n";
  }
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
