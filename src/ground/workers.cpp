#include "ground/workers.h"

#include <atomic>
#include <initializer_list>

#include "fp_environment.h"
#include "hints.h"
#include "thread.h"
#include "waiting.h"

// A worker is a word that the kernel can be asked to wait for: call << 4 | what it does.
//
//       make                borrow: taken, then the errand is written           the worker
//   absent -> starting -> idle ----------> taken -----------------------> called -----> working -> idle
//                          ^ |               ^                              |             |          ^
//                          | v               |                              |             v          |
//                         asleep ------------+               idle <---------+          awaited ------+
//                                                             return: it has not come     return: the borrower sleeps
//
// `call` counts the borrowings, so that a borrower who looks late sees that the present one is not its own. Whoever
// changes the word by a compare-and-swap holds what the arrow says: one borrower writes the errand, one worker runs it.
namespace pith::internal {
namespace {

enum Doing : uint32_t { kAbsent, kStarting, kIdle, kAsleep, kTaken, kCalled, kWorking, kAwaited, kLeaving };
constexpr uint32_t kCallShift = 4;

Doing doing(uint32_t word) { return Doing(word & ((1u << kCallShift) - 1)); }
uint32_t call_of(uint32_t word) { return word >> kCallShift; }
uint32_t word_of(uint32_t call, Doing what) { return call << kCallShift | what; }

struct alignas(64) Worker {
  std::atomic<uint32_t> word{word_of(0, kAbsent)};
  int32_t number = 0;  // of the borrower's team
  Errand errand = nullptr;
  void* context = nullptr;
  std::atomic<uint64_t> cpus{0};
  Thread thread;
};

// Of all sets of CPUs together. A session has at most 63.
constexpr uint32_t kMaxWorkers = 256;

// Looks before an idle worker sleeps: about 200 us, in which a host draws a token and asks for the next one.
constexpr int32_t kIdleSpins = 4 * kSpins;

// Stack of a worker; of the address space, touched to a few KiB. Systems with little of it give more threads so.
constexpr size_t kStackBytes = size_t(1) << 20;

Worker workers[kMaxWorkers];
std::atomic<uint32_t> n_ever{0};  // workers at and beyond this one were never made
std::atomic<uint32_t> making{0};  // 1: some thread makes workers
std::atomic<uint32_t> is_child{0};
std::atomic<uint32_t> is_watching{0};

bool change(Worker* worker, uint32_t from, uint32_t to) {
  return worker->word.compare_exchange_strong(from, to, std::memory_order_acq_rel, std::memory_order_relaxed);
}

// The next call of the worker, which it then is working on; false: it is to leave.
bool wait_for_call(Worker* worker) {
  for (int32_t spin = 0;;) {
    const uint32_t word = worker->word.load(std::memory_order_acquire);
    switch (doing(word)) {
      case kCalled:
        if (change(worker, word, word_of(call_of(word), kWorking))) return true;
        break;
      case kLeaving: return false;
      case kAsleep: sleep_on(&worker->word, word); break;
      case kIdle:
        if (++spin > kIdleSpins) change(worker, word, word_of(call_of(word), kAsleep));
        [[fallthrough]];
      default: pause();
    }
  }
}

void become_idle(Worker* worker) {
  const uint32_t call = call_of(worker->word.load(std::memory_order_relaxed));
  const uint32_t before = worker->word.exchange(word_of(call, kIdle), std::memory_order_acq_rel);
  if (doing(before) == kAwaited || doing(before) == kStarting) wake(&worker->word, UINT32_MAX >> 1);
}

void work(void* opaque) {
  Worker* worker = static_cast<Worker*>(opaque);
  const FpEnvironment environment;
  become_idle(worker);
  while (wait_for_call(worker)) {
    worker->errand(worker->context, worker->number);
    become_idle(worker);
  }
}

// The only thread of the new process: no one else is in the pool, and nobody will come back to it.
void start_anew() {
  forget_sleepers();
  for (uint32_t i = 0; i < n_ever.load(std::memory_order_relaxed); ++i)
    workers[i].word.store(word_of(call_of(workers[i].word.load(std::memory_order_relaxed)) + 1, kAbsent),
                          std::memory_order_relaxed);
  making.store(0, std::memory_order_relaxed);
  is_child.store(1, std::memory_order_relaxed);
}

// When the library is unloaded, or the process ends: idle workers end first, for their code is unmapped. One that works
// belongs to a thread that is still evaluating while the process exits.
__attribute__((destructor)) void dismiss_workers() {
  for (uint32_t i = 0; i < n_ever.load(std::memory_order_acquire); ++i) {
    Worker* worker = &workers[i];
    uint32_t word = worker->word.load(std::memory_order_acquire);
    while (doing(word) == kIdle || doing(word) == kAsleep) {
      if (change(worker, word, word_of(call_of(word), kLeaving))) {
        wake(&worker->word, 1);
        join(&worker->thread);
        break;
      }
      word = worker->word.load(std::memory_order_acquire);
    }
  }
}

// False where there is no thread, or no room for one more.
bool make_worker(uint64_t cpus) {
  const uint32_t n = n_ever.load(std::memory_order_relaxed);
  uint32_t at = 0;
  while (at < n && doing(workers[at].word.load(std::memory_order_relaxed)) != kAbsent) ++at;
  if (at == kMaxWorkers) return false;
  Worker* worker = &workers[at];
  const uint32_t call = call_of(worker->word.load(std::memory_order_relaxed));
  worker->cpus.store(cpus, std::memory_order_relaxed);
  worker->word.store(word_of(call, kStarting), std::memory_order_relaxed);
  worker->thread = {work, worker, 0};
  if (!start(&worker->thread, kStackBytes)) {
    worker->word.store(word_of(call, kAbsent), std::memory_order_relaxed);
    return false;
  }
  if (at == n) n_ever.store(n + 1, std::memory_order_release);
  while (doing(worker->word.load(std::memory_order_acquire)) == kStarting)
    sleep_on(&worker->word, word_of(call, kStarting));
  return true;
}

// Holds `making`. A fork while it is held leaves the child's free.
class MakingGuard {
 public:
  MakingGuard() {
    while (making.exchange(1, std::memory_order_acquire) != 0) sleep_on(&making, 1);
  }
  ~MakingGuard() {
    making.store(0, std::memory_order_release);
    wake(&making, 1);
  }
  MakingGuard(const MakingGuard&) = delete;
  MakingGuard& operator=(const MakingGuard&) = delete;
};

}  // namespace

bool watch_forks() {
  const MakingGuard guard;
  if (is_watching.load(std::memory_order_relaxed) == 0 && call_in_forks(start_anew))
    is_watching.store(1, std::memory_order_relaxed);
  return is_watching.load(std::memory_order_relaxed) != 0;
}

bool has_forked() { return is_child.load(std::memory_order_relaxed) != 0; }

void make_workers(const CpuSet& cpus, int32_t n_more) {
  if (n_more == 0 || cpus.n < 2 || !watch_forks()) return;
  const MakingGuard guard;
  const int32_t n = count_workers(cpus) + n_more, n_most = n < cpus.n - 1 ? n : cpus.n - 1;
  while (count_workers(cpus) < n_most && make_worker(cpus.which)) {
  }
}

int32_t count_workers(const CpuSet& cpus) {
  int32_t n = 0;
  for (uint32_t i = 0; i < n_ever.load(std::memory_order_acquire); ++i) {
    const Doing what = doing(workers[i].word.load(std::memory_order_acquire));
    n += what != kAbsent && what != kLeaving && workers[i].cpus.load(std::memory_order_relaxed) == cpus.which;
  }
  return n;
}

int32_t borrow_workers(const CpuSet& cpus, int32_t n, Errand errand, void* context, Loan* loans) {
  const uint32_t n_made = n_ever.load(std::memory_order_acquire);
  int32_t n_borrowed = 0;
  for (const Doing wanted : {kIdle, kAsleep}) {
    for (uint32_t i = 0; i < n_made && n_borrowed < n; ++i) {
      Worker* worker = &workers[i];
      const uint32_t word = worker->word.load(std::memory_order_acquire), call = call_of(word) + 1;
      if (doing(word) != wanted || worker->cpus.load(std::memory_order_relaxed) != cpus.which) continue;
      if (!change(worker, word, word_of(call, kTaken))) continue;
      worker->errand = errand;
      worker->context = context;
      worker->number = n_borrowed + 1;
      const uint32_t called = word_of(call, kCalled);
      worker->word.store(called, std::memory_order_release);
      if (wanted == kAsleep) wake(&worker->word, 1);
      loans[n_borrowed++] = {i, called};
    }
  }
  return n_borrowed;
}

void return_workers(const Loan* loans, int32_t n) {
  for (int32_t i = 0; i < n; ++i)
    change(&workers[loans[i].worker], loans[i].call, word_of(call_of(loans[i].call), kIdle));
  for (int32_t i = 0; i < n; ++i) {
    std::atomic<uint32_t>& word = workers[loans[i].worker].word;
    const uint32_t working = word_of(call_of(loans[i].call), kWorking);
    const uint32_t awaited = word_of(call_of(loans[i].call), kAwaited);
    for (int32_t spin = 0; spin < kSpins && word.load(std::memory_order_acquire) == working; ++spin) pause();
    change(&workers[loans[i].worker], working, awaited);
    while (word.load(std::memory_order_acquire) == awaited) sleep_on(&word, awaited);
  }
}

int32_t probe_threads(int32_t n) {
  constexpr int32_t kMost = 63;
  Thread threads[kMost];
  std::atomic<uint32_t> gate{0};
  const auto wait = [](void* opaque) {
    std::atomic<uint32_t>* closed = static_cast<std::atomic<uint32_t>*>(opaque);
    while (closed->load(std::memory_order_acquire) == 0) sleep_on(closed, 0);
  };
  int32_t n_made = 0;
  for (; n_made < n && n_made < kMost; ++n_made) {
    threads[n_made] = {wait, &gate, 0};
    if (!start(&threads[n_made], 0)) break;
  }
  gate.store(1, std::memory_order_release);
  wake(&gate, uint32_t(kMost));
  for (int32_t i = 0; i < n_made; ++i) join(&threads[i]);
  if (n_made > 0) sleep_milliseconds(1);  // the system counts a thread a little longer than it can be joined
  return n_made;
}

}  // namespace pith::internal
