#include "thread.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#ifdef __APPLE__
#include <pthread/qos.h>
#endif

#include <initializer_list>

namespace pith::internal {
namespace {

sigset_t signals_of_others() {
  sigset_t set;
  sigfillset(&set);
  for (const int own : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF}) sigdelset(&set, own);
  return set;
}

void* run(void* opaque) {
  const Thread* thread = static_cast<const Thread*>(opaque);
  thread->run(thread->context);
  return nullptr;
}

}  // namespace

bool start(Thread* thread, size_t stack_bytes) {
  static_assert(sizeof(pthread_t) <= sizeof thread->id);
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  if (stack_bytes > 0) pthread_attr_setstacksize(&attributes, stack_bytes);
#ifdef __APPLE__  // efficiency cores would hold up the whole team
  pthread_attr_set_qos_class_np(&attributes, QOS_CLASS_USER_INITIATED, 0);
#endif
  const sigset_t blocked = signals_of_others();
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  pthread_t id{};
  const bool is_made = pthread_create(&id, &attributes, run, thread) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  thread->id = uintptr_t(id);
  return is_made;
}

void join(const Thread* thread) { pthread_join(pthread_t(thread->id), nullptr); }

bool call_in_forks(void (*f)()) { return pthread_atfork(nullptr, nullptr, f) == 0; }

void sleep_milliseconds(uint32_t n) {
  const timespec span{time_t(n / 1000), long(n % 1000) * 1000000};
  nanosleep(&span, nullptr);
}

}  // namespace pith::internal
