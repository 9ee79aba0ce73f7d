#include "waiting.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

// 32-bit ports made after 2020 have the call with 64-bit times alone. No time is given here.
#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif

namespace pith::internal {

void sleep_on(std::atomic<uint32_t>* word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void wake(std::atomic<uint32_t>* word, uint32_t n_threads) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n_threads, nullptr, nullptr, 0);
}

void forget_sleepers() {}

}  // namespace pith::internal
