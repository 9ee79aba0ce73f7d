// Words of memory to sleep on, where the system has none that a program may rely on: a condition variable for each of
// 64 places, which words share by their address. Who wakes a word takes the place's lock, so that a sleeper that has seen
// the old value is asleep by then; all sleepers of a place are woken, and those of other words sleep again.
#include "waiting.h"

#include <pthread.h>

namespace pith::internal {
namespace {

struct alignas(64) Place {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t is_changed = PTHREAD_COND_INITIALIZER;
};

constexpr uintptr_t kPlaces = 64;
constinit Place places[kPlaces];

Place& place_of(const void* word) { return places[reinterpret_cast<uintptr_t>(word) / 64 % kPlaces]; }

}  // namespace

void sleep_on(std::atomic<uint32_t>* word, uint32_t value) {
  Place& place = place_of(word);
  pthread_mutex_lock(&place.lock);
  if (word->load(std::memory_order_acquire) == value) pthread_cond_wait(&place.is_changed, &place.lock);
  pthread_mutex_unlock(&place.lock);
}

void wake(std::atomic<uint32_t>* word, uint32_t) {
  Place& place = place_of(word);
  pthread_mutex_lock(&place.lock);
  pthread_cond_broadcast(&place.is_changed);
  pthread_mutex_unlock(&place.lock);
}

void forget_sleepers() {
  for (Place& place : places) place = Place{};
}

}  // namespace pith::internal
