// How a thread waits for a word of memory: a look at a time, or asleep in the kernel.
#ifndef PITH_GROUND_WAITING_H
#define PITH_GROUND_WAITING_H

#include <atomic>
#include <cstdint>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

namespace pith::internal {

// Looks before a wait becomes a sleep: about 50 us, longer than the serial stretches between the jobs of a token, and
// short beside the milliseconds after which a system takes a core away.
inline constexpr int32_t kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // `yield` does nothing on most cores; isb waits some tens of cycles
#endif
}

// Sleeps while *word == value, or returns at once; may return early. Without futexes the thread gives way, and looks
// again.
inline void sleep_on([[maybe_unused]] std::atomic<uint32_t>* word, [[maybe_unused]] uint32_t value) {
#ifdef __linux__
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
#else
  sched_yield();
#endif
}

inline void wake([[maybe_unused]] std::atomic<uint32_t>* word, [[maybe_unused]] uint32_t n_threads) {
#ifdef __linux__
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n_threads, nullptr, nullptr, 0);
#endif
}

}  // namespace pith::internal

#endif
