// Teams of threads: the library's own (workers.h), the caller's, or OpenMP's, which this file alone knows.
#ifndef PITH_GROUND_PARALLEL_H
#define PITH_GROUND_PARALLEL_H

#include <atomic>
#include <cstdint>

#include "ground/workers.h"

namespace pith::internal {

// pith_executor of the C ABI: runs task(task_context, i) for every i in [0, n), at the same time as far as it can.
using Executor = void (*)(void* executor_context, uint32_t n, void (*task)(void* task_context, uint32_t i),
                          void* task_context);

// A team that runs jobs of numbered tasks. Which thread runs which task changes no result.
//
// assemble() opens one region for a whole call: it borrows workers, or runs the caller's executor once; within it,
// run() publishes a job, and every thread claims tasks until none is left. A job waits for claimed tasks only: a thread
// that the system keeps off its core delays no one until it holds a task. Waiting threads spin for some microseconds
// and then sleep in the kernel, so that other programs get the cores. A region that waited for most of its time,
// because other programs have the cores, is followed by some without the others.
class Team {
 public:
  // The caller's threads instead of the library's; NULL: the library's. Before warm_up().
  void use(Executor executor, void* executor_context) {
    executor_ = executor;
    executor_context_ = executor_context;
  }

  // Makes the threads now, so that nothing is allocated later: max_threads, but no more than the CPUs that this thread
  // may use, on which more would only take turns. Where the system gives fewer, fewer work. False: the executor came
  // back without having run a task.
  [[nodiscard]] bool warm_up(int32_t max_threads) { return warm_up(max_threads, usable_cpus()); }
  [[nodiscard]] bool warm_up(int32_t max_threads, const CpuSet& cpus);

  // How many of them work in the next regions; the rest sleep.
  void set_threads(int32_t n_threads) { n_working_ = n_threads < n_threads_ ? n_threads : n_threads_; }

  // How many there are for the next region, the caller's included, if no other team takes them.
  int32_t n_at_hand() const;

  // Jobs so far that threads joined for.
  uint64_t n_jobs() const { return n_jobs_; }

  // Inside assemble(): how many work now.
  int32_t n_running() const { return n_running_; }

  // Runs body() on the calling thread, or one of the executor's, with the others at hand. False: the executor came back
  // without having run a task, so that body() did not run either.
  template <typename Body>
  [[nodiscard]] bool assemble(const Body& body) {
    return assemble([](const void* context) { (*static_cast<const Body*>(context))(); }, &body);
  }

  // Inside assemble(), by its thread: f(task, thread) for every task in [0, n_tasks), thread in [0, max_threads). One
  // task is the calling thread's: a job costs about a microsecond.
  template <typename F>
  void run(int32_t n_tasks, const F& f) {
    if (n_running_ == 1 || n_tasks == 1) return run_alone(n_tasks, f);
    run_job(
        n_tasks,
        [](const void* context, int32_t task, int32_t thread) { (*static_cast<const F*>(context))(task, thread); }, &f);
  }

  // The same on the calling thread, for what is too small to be shared.
  template <typename F>
  static void run_alone(int32_t n_tasks, const F& f) {
    for (int32_t task = 0; task < n_tasks; ++task) f(task, 0);
  }

 private:
  using Call = void (*)(const void* context, int32_t task, int32_t thread);

  [[nodiscard]] bool assemble(void (*body)(const void* context), const void* context);
  struct Region;
  void open_region(Region* region);
  void execute(Region* region);
  void borrow(Region* region);
  void fork_join(Region* region);
  void lead(Region* region);
  void join(Region* region);
  void judge(uint64_t ticks);
  void run_job(int32_t n_tasks, Call call, const void* context);
  void publish(uint32_t n_tasks);
  void work(int32_t thread);
  void follow(uint32_t generation, int32_t thread);
  void close();

  Executor executor_ = nullptr;
  void* executor_context_ = nullptr;

  CpuSet cpus_;            // of the thread that made the session
  int32_t n_threads_ = 1;  // at most
  int32_t n_working_ = 1;  // of them
  int32_t n_running_ = 1;  // now: 1 .. n_working_

  uint64_t n_jobs_ = 0;
  uint64_t lost_ticks_ = 0;  // of the open region: the caller waited for threads that did not run
  int32_t serial_left_ = 0;  // regions still to be run by the caller alone
  int32_t last_serial_ = 0;  // how many it was after the region before

  // The job. Its fields are written while no task of it is left to claim, so whoever claims one has read the right
  // ones.
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> context_{nullptr};
  std::atomic<int32_t> n_tasks_{0};
  alignas(64) std::atomic<uint64_t> claim_{0};  // generation << 32 | tasks left
  alignas(64) std::atomic<uint32_t> n_done_{0};
  std::atomic<uint32_t> caller_sleeps_{0};
  alignas(64) std::atomic<uint32_t> generation_{0};  // the upper half of claim_, to sleep on
  std::atomic<uint32_t> n_sleeping_{0};
  std::atomic<uint32_t> is_open_{0};
};

}  // namespace pith::internal

#endif
