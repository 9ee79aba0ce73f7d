// The team: every task of every job exactly once, by more threads than there are CPUs, over many regions.
#include "ground/parallel.h"

#include <thread>
#include <vector>

#include "kernel_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

constexpr uint64_t kTestCpus = 7;  // a set of CPUs that no thread has: a pool of this test's own

// Runs n_jobs jobs of random size in one region. Each task adds its number to a slot of its own, without atomics: a task that
// ran twice, or after its job had ended, shows in the sums (and under ThreadSanitizer).
void run_jobs(Team* team, int32_t n_threads, int32_t n_jobs, Random* random) {
  std::vector<uint64_t> sums(200), expected(200);
  int32_t bad_threads = 0;
  const bool is_run = team->assemble([&] {
    for (int32_t job = 0; job < n_jobs; ++job) {
      const int32_t n_tasks = int32_t(random->engine() % 200) + 1;
      const uint64_t work = random->engine() % 300;
      std::vector<int32_t> runner(size_t(n_tasks), -1);
      const auto add = [&](int32_t task, int32_t thread) {
        volatile uint64_t busy = 0;
        for (uint64_t i = 0; i < work; ++i) busy = busy + i;
        sums[size_t(task)] += uint64_t(job) * 1000 + uint64_t(task);
        runner[size_t(task)] = thread;
      };
      if (random->engine() % 8 == 0) team->run_alone(n_tasks, add);
      else team->run(n_tasks, add);
      for (int32_t task = 0; task < n_tasks; ++task) {
        expected[size_t(task)] += uint64_t(job) * 1000 + uint64_t(task);
        bad_threads += runner[size_t(task)] < 0 || runner[size_t(task)] >= n_threads;
      }
    }
  });
  CHECK(is_run);
  CHECK(sums == expected);
  CHECK(bad_threads == 0);
}

}  // namespace

TEST_CASE("a team of 1 to 8 threads runs every task of every job once") {
  Random random;
  CAPTURE(random.seed);
  for (int32_t n_threads = 1; n_threads <= 8; ++n_threads) {
    CAPTURE(n_threads);
    Team team;
    REQUIRE(team.warm_up(n_threads, {8, kTestCpus}));
    for (int32_t region = 0; region < 10; ++region) {
      const int32_t n_working = int32_t(random.engine() % uint64_t(n_threads)) + 1;
      CAPTURE(n_working);
      team.set_threads(n_working);
      run_jobs(&team, n_working, 100, &random);
    }
  }
}

namespace {

using Task = void (*)(void*, uint32_t);

void one_by_one(void* calls, uint32_t n, Task task, void* context) {
  for (uint32_t i = n; i-- > 0;) task(context, i);
  *static_cast<int*>(calls) += int(n);
}
void on_new_threads(void* calls, uint32_t n, Task task, void* context) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < n; ++i) threads.emplace_back(task, context, i);
  for (std::thread& thread : threads) thread.join();
  *static_cast<int*>(calls) += int(n);
}

}  // namespace

TEST_CASE("a team on the threads of an executor, which may run its tasks in any order, runs every task once") {
  Random random;
  CAPTURE(random.seed);
  for (const Executor executor : {one_by_one, on_new_threads}) {
    for (int32_t n_threads = 2; n_threads <= 5; ++n_threads) {
      int calls = 0;
      Team team;
      team.use(executor, &calls);
      REQUIRE(team.warm_up(n_threads, {8, kTestCpus}));
      for (int32_t region = 0; region < 5; ++region) run_jobs(&team, n_threads, 50, &random);
      CHECK(calls >= n_threads);  // a team that lost most of its time goes on alone for some regions
      CHECK(calls % n_threads == 0);
    }
  }
}

TEST_CASE("the threads of a team take part") {
  Team team;
  REQUIRE(team.warm_up(2, {2, kTestCpus}));
  int32_t tasks_of[2] = {0, 0};
  const bool is_run = team.assemble([&] {  // the other thread may be kept off its core for a while
    for (int32_t job = 0; job < 100000 && (tasks_of[0] == 0 || tasks_of[1] == 0); ++job) {
      team.run(64, [&](int32_t, int32_t thread) {
        volatile uint64_t busy = 0;
        for (uint64_t i = 0; i < 20000; ++i) busy = busy + i;
        ++tasks_of[thread];
      });
    }
  });
  CHECK(is_run);
  CHECK(tasks_of[0] > 0);
  CHECK(tasks_of[1] > 0);
}
