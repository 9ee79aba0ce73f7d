#include "ground/parallel.h"

#include "fp_environment.h"
#include "hints.h"
#include "waiting.h"

#ifdef _OPENMP
#include <omp.h>
#endif

// The protocol. One thread, the caller, publishes jobs; all claim tasks of them, without locks:
//
//   claim_     generation << 32 | tasks left. A job is published by storing the next generation with its number of
//              tasks; tasks are claimed by a compare-and-swap that lowers it. Whoever succeeds holds tasks
//              [n_tasks - left, n_tasks - left + n): they are claimed in order, each once.
//   call_, context_, n_tasks_
//              the job: stored before claim_ (release) and read after it (acquire). A thread that read claim_ before
//              the next job was published may find that job's fields beside it; then its compare-and-swap fails, for
//              generations differ, and 2^32 of them pass before one returns.
//   n_done_    tasks that have returned. The caller waits until it equals n_tasks: then no thread is inside a task, and
//              all that tasks wrote is visible (acquire after release). Threads that hold no task are not waited for:
//              one that the system keeps off its core delays nobody.
//
// Sleep. A waiter spins kSpins looks, then sleeps in the kernel on a 32-bit word (futex), which wakes it at once if the
// word has changed since it was read. Followers sleep on generation_, the caller on n_done_. Neither side may miss the
// other: a follower adds itself to n_sleeping_, then looks at the generation; publish() stores the generation, then
// looks at n_sleeping_. All four are sequentially consistent, so that one of the two sees the other. Likewise
// caller_sleeps_ and n_done_.
//
// Regions. assemble() brings the team together for a whole call and lets it go at the end: close() publishes a job of
// no tasks with is_open_ = 0. A follower that arrives after the first jobs takes part from the generation that it
// finds; a worker that has not arrived at the end is not waited for. Where other programs hold the cores, a region
// waits for threads that do not run; judge() sees it by ticks and lets the caller work alone for a while, twice as long
// after every failure.
namespace pith::internal {
namespace {

// Regions alone after one that was mostly waiting, and after many in a row.
constexpr int32_t kFirstSerial = 4;
constexpr int32_t kMostSerial = 1024;

uint32_t tasks_left(uint64_t claim) { return uint32_t(claim); }
uint32_t generation_of(uint64_t claim) { return uint32_t(claim >> 32); }

// OpenMP's threads instead of the library's. A child of fork has none of them and its runtime waits for them for ever.
bool uses_openmp() {
#ifdef _OPENMP
  return !has_forked();
#else
  return false;
#endif
}

}  // namespace

bool Team::warm_up(int32_t max_threads, const CpuSet& cpus) {
  cpus_ = cpus;
  n_threads_ = max_threads < cpus.n ? max_threads : cpus.n;
  if (executor_ == nullptr && n_threads_ > 1) {
    if (!uses_openmp()) make_workers(cpus, n_threads_ - 1);
    else n_threads_ = watch_forks() ? 1 + probe_threads(n_threads_ - 1) : 1;
  }
  n_working_ = n_threads_;
  const bool is_run = assemble([] {});
  serial_left_ = last_serial_ = 0;  // starting threads takes long
  return is_run;
}

int32_t Team::n_at_hand() const {
  if (executor_ != nullptr || uses_openmp()) return n_working_;
  const int32_t n = 1 + count_workers(cpus_);
  return n < n_working_ ? n : n_working_;
}

// What the threads of one region share.
struct Team::Region {
  Team* team;
  void (*body)(const void* context);
  const void* context;
  uint32_t generation;  // the last one before: whoever arrives late follows from here
  uint64_t closed_at = 0;
  std::atomic<int32_t> n_arrived{0};  // of an executor's tasks
};

bool Team::assemble(void (*body)(const void* context), const void* context) {
  if (n_working_ == 1 || serial_left_ > 0) {
    if (serial_left_ > 0) --serial_left_;
    body(context);
    return true;
  }
  Region region{this, body, context, generation_.load(std::memory_order_relaxed)};
  is_open_.store(1, std::memory_order_relaxed);
  lost_ticks_ = 0;
  const uint64_t start = read_ticks();
  open_region(&region);
  n_running_ = 1;
  if (executor_ != nullptr && region.n_arrived.load(std::memory_order_acquire) == 0) return false;
  const uint64_t end = read_ticks();
  lost_ticks_ += end - region.closed_at;
  judge(end - start);
  return true;
}

void Team::open_region(Region* region) {
  if (executor_ != nullptr) execute(region);
  else if (uses_openmp()) fork_join(region);
  else borrow(region);
}

void Team::execute(Region* region) {
  n_running_ = n_working_;
  executor_(
      executor_context_, uint32_t(n_running_),
      [](void* opaque, uint32_t) {
        Region* shared = static_cast<Region*>(opaque);
        shared->team->join(shared);
      },
      region);
}

// With the workers that are idle: fewer than asked for, where other teams have them or the system gave none.
void Team::borrow(Region* region) {
  constexpr int32_t kMost = 63;
  Loan loans[kMost];
  const int32_t n_wanted = n_working_ - 1 < kMost ? n_working_ - 1 : kMost;
  const int32_t n = borrow_workers(
      cpus_, n_wanted,
      [](void* opaque, int32_t thread) {
        const Region* shared = static_cast<const Region*>(opaque);
        shared->team->follow(shared->generation, thread);
      },
      region, loans);
  n_running_ = 1 + n;
  lead(region);
  return_workers(loans, n);
}

void Team::fork_join([[maybe_unused]] Region* region) {
#ifdef _OPENMP
  n_running_ = n_working_;
#pragma omp parallel num_threads(n_threads_)
  {
    const int32_t thread = omp_get_thread_num();
    if (thread == 0) {
      lead(region);
    } else if (thread < n_running_) {
      const FpEnvironment environment;
      follow(region->generation, thread);
    } else {
      while (is_open_.load(std::memory_order_acquire) != 0) sleep_on(&is_open_, 1);
    }
  }
#endif
}

void Team::lead(Region* region) {
  region->body(region->context);
  close();
  region->closed_at = read_ticks();
}

// A task of an executor. The first to come leads, so that tasks may run in any order, one after the other as well.
void Team::join(Region* region) {
  const FpEnvironment environment;
  const int32_t thread = region->n_arrived.fetch_add(1, std::memory_order_acq_rel);
  if (thread == 0) lead(region);
  else if (thread < n_running_) follow(region->generation, thread);
}

// If most of the region was lost: so many regions alone that the next attempt, if it fails too, costs little beside
// them.
void Team::judge(uint64_t ticks) {
  if (lost_ticks_ <= ticks / 2) {
    last_serial_ = 0;
    return;
  }
  last_serial_ = last_serial_ == 0 ? kFirstSerial : last_serial_ < kMostSerial ? 2 * last_serial_ : kMostSerial;
  serial_left_ = last_serial_;
}

void Team::close() {
  is_open_.store(0, std::memory_order_release);
  publish(0);
  if (uses_openmp() && n_running_ < n_threads_) wake(&is_open_, uint32_t(n_threads_));
}

// Makes the next generation known. With 0 tasks there is nothing to claim, only is_open_ to see.
void Team::publish(uint32_t n_tasks) {
  const uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
  claim_.store(uint64_t(generation) << 32 | n_tasks, std::memory_order_release);
  generation_.store(generation, std::memory_order_seq_cst);
  if (n_sleeping_.load(std::memory_order_seq_cst) > 0) wake(&generation_, uint32_t(n_running_));
}

void Team::run_job(int32_t n_tasks, Call call, const void* context) {
  ++n_jobs_;
  call_.store(call, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  n_tasks_.store(n_tasks, std::memory_order_relaxed);
  n_done_.store(0, std::memory_order_relaxed);
  publish(uint32_t(n_tasks));
  work(0);
  for (int32_t spin = 0; spin < kSpins; ++spin) {
    if (n_done_.load(std::memory_order_acquire) == uint32_t(n_tasks)) return;
    pause();
  }
  const uint64_t start = read_ticks();
  caller_sleeps_.store(1, std::memory_order_seq_cst);
  for (;;) {
    const uint32_t n_done = n_done_.load(std::memory_order_seq_cst);
    if (n_done == uint32_t(n_tasks)) break;
    sleep_on(&n_done_, n_done);
  }
  caller_sleeps_.store(0, std::memory_order_relaxed);
  lost_ticks_ += read_ticks() - start;
}

// Claims tasks until none is left: half of a fair share at a time, so that early claims are long runs of neighbouring
// memory and late ones level out what the threads have done.
void Team::work(int32_t thread) {
  uint64_t claim = claim_.load(std::memory_order_acquire);
  while (tasks_left(claim) > 0) {
    const Call call = call_.load(std::memory_order_relaxed);
    const void* context = context_.load(std::memory_order_relaxed);
    const int32_t n_tasks = n_tasks_.load(std::memory_order_relaxed);
    const uint32_t left = tasks_left(claim), share = left / uint32_t(2 * n_running_), n = share > 0 ? share : 1;
    if (!claim_.compare_exchange_weak(claim, claim - n, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    const int32_t first = n_tasks - int32_t(left);
    for (int32_t task = first; task < first + int32_t(n); ++task) call(context, task, thread);
    const uint32_t n_done = n_done_.fetch_add(n, std::memory_order_seq_cst) + n;
    if (n_done == uint32_t(n_tasks) && caller_sleeps_.load(std::memory_order_seq_cst) != 0) wake(&n_done_, 1);
    claim = claim_.load(std::memory_order_acquire);
  }
}

// A thread other than the caller's, from one generation to the next until the region closes.
void Team::follow(uint32_t generation, int32_t thread) {
  for (;;) {
    for (int32_t spin = 0; spin < kSpins && generation_of(claim_.load(std::memory_order_acquire)) == generation; ++spin)
      pause();
    while (generation_of(claim_.load(std::memory_order_acquire)) == generation) {
      n_sleeping_.fetch_add(1, std::memory_order_seq_cst);
      sleep_on(&generation_, generation);
      n_sleeping_.fetch_sub(1, std::memory_order_relaxed);
    }
    generation = generation_of(claim_.load(std::memory_order_acquire));
    work(thread);
    if (is_open_.load(std::memory_order_relaxed) == 0) return;
  }
}

}  // namespace pith::internal
