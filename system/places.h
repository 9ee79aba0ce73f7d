// Sleeping on words of memory with locks and condition variables, for systems without futexes that a program may rely
// on.
//
// Words share 64 places by their address. Who wakes a word takes its place's lock, so that a sleeper that has seen the
// old value is asleep by then; all sleepers of a place are woken, and those of other words sleep again.
#ifndef PITH_SYSTEM_PLACES_H
#define PITH_SYSTEM_PLACES_H

#include <atomic>
#include <cstdint>

namespace pith::internal {

// Place: a lock and a condition variable of the system's, with lock(), unlock(), wait(), which unlocks meanwhile, and
// wake_all().
template <typename Place>
class Places {
 public:
  void sleep_on(const std::atomic<uint32_t>* word, uint32_t value) {
    Place& place = place_of(word);
    place.lock();
    if (word->load(std::memory_order_acquire) == value) place.wait();
    place.unlock();
  }
  void wake(const void* word) {
    Place& place = place_of(word);
    place.lock();
    place.wake_all();
    place.unlock();
  }
  void reset() {
    for (Place& place : places_) place = Place{};
  }

 private:
  static constexpr uintptr_t kPlaces = 64, kCacheLine = 64;
  Place& place_of(const void* word) { return places_[reinterpret_cast<uintptr_t>(word) / kCacheLine % kPlaces]; }

  Place places_[kPlaces];
};

}  // namespace pith::internal

#endif
