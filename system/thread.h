// Threads of the operating system.
#ifndef PITH_SYSTEM_THREAD_H
#define PITH_SYSTEM_THREAD_H

#include <cstddef>
#include <cstdint>

namespace pith::internal {

// A thread that runs run(context). It stays where it is until join().
struct Thread {
  void (*run)(void* context) = nullptr;
  void* context = nullptr;
  uintptr_t id = 0;  // the system's
};

// Starts it, with the host's signals blocked: only what a thread does itself reaches it, and profilers. stack_bytes: 0,
// what the system gives. False: the system has no thread.
bool start(Thread* thread, size_t stack_bytes);

// Returns when run() has returned.
void join(const Thread* thread);

// Where the system copies processes, it calls f in every child that begins from now on. False: it could not be told.
bool call_in_forks(void (*f)());

void sleep_milliseconds(uint32_t n);

}  // namespace pith::internal

#endif
