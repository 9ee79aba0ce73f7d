// WaitOnAddress would do it in one call each, but it lies in a library that every program with the archive in it would
// have to name. So: a condition variable for each of 64 places, as in system/posix/waiting.cpp.
#include "waiting.h"

#include "windows_header.h"

namespace pith::internal {
namespace {

struct alignas(64) Place {
  SRWLOCK lock = SRWLOCK_INIT;
  CONDITION_VARIABLE is_changed = CONDITION_VARIABLE_INIT;
};

constexpr uintptr_t kPlaces = 64;
constinit Place places[kPlaces];

Place& place_of(const void* word) { return places[reinterpret_cast<uintptr_t>(word) / 64 % kPlaces]; }

}  // namespace

void sleep_on(std::atomic<uint32_t>* word, uint32_t value) {
  Place& place = place_of(word);
  AcquireSRWLockExclusive(&place.lock);
  if (word->load(std::memory_order_acquire) == value)
    SleepConditionVariableSRW(&place.is_changed, &place.lock, INFINITE, 0);
  ReleaseSRWLockExclusive(&place.lock);
}

void wake(std::atomic<uint32_t>* word, uint32_t) {
  Place& place = place_of(word);
  AcquireSRWLockExclusive(&place.lock);
  WakeAllConditionVariable(&place.is_changed);
  ReleaseSRWLockExclusive(&place.lock);
}

void forget_sleepers() {}

}  // namespace pith::internal
