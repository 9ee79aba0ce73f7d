// WaitOnAddress would do it in one call each, but it lies in a library that every program with the archive in it would
// have to name.
#include "waiting.h"

#include <windows.h>

#include "places.h"

namespace pith::internal {
namespace {

struct alignas(64) Place {
  SRWLOCK mutex = SRWLOCK_INIT;
  CONDITION_VARIABLE is_changed = CONDITION_VARIABLE_INIT;
  void lock() { AcquireSRWLockExclusive(&mutex); }
  void unlock() { ReleaseSRWLockExclusive(&mutex); }
  void wait() { SleepConditionVariableSRW(&is_changed, &mutex, INFINITE, 0); }
  void wake_all() { WakeAllConditionVariable(&is_changed); }
};

constinit Places<Place> places;

}  // namespace

void sleep_on(std::atomic<uint32_t>* word, uint32_t value) { places.sleep_on(word, value); }
void wake(std::atomic<uint32_t>* word, uint32_t) { places.wake(word); }
void forget_sleepers() {}  // there are no forks

}  // namespace pith::internal
