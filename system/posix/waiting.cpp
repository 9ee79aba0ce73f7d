#include "waiting.h"

#include <pthread.h>

#include "places.h"

namespace pith::internal {
namespace {

struct alignas(64) Place {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t is_changed = PTHREAD_COND_INITIALIZER;
  void lock() { pthread_mutex_lock(&mutex); }
  void unlock() { pthread_mutex_unlock(&mutex); }
  void wait() { pthread_cond_wait(&is_changed, &mutex); }
  void wake_all() { pthread_cond_broadcast(&is_changed); }
};

constinit Places<Place> places;

}  // namespace

void sleep_on(std::atomic<uint32_t>* word, uint32_t value) { places.sleep_on(word, value); }
void wake(std::atomic<uint32_t>* word, uint32_t) { places.wake(word); }
void forget_sleepers() { places.reset(); }

}  // namespace pith::internal
