// One block of the caller's memory, handed out front to back. The same layout code runs twice: over no memory, to learn
// the exact size, and over the block, to place the buffers.
#ifndef PITH_GROUND_ARENA_H
#define PITH_GROUND_ARENA_H

#include <cstddef>
#include <cstdint>

#include "ground/alignment.h"

#ifdef PITH_POISON_GAPS
#include <sanitizer/asan_interface.h>
#endif

namespace pith::internal {

// With PITH_POISON_GAPS, for AddressSanitizer, every block is followed by bytes that nobody may touch: one that is left
// at its end does not reach the next. Memory that is used again for something else is first unpoisoned by who does so.
#ifdef PITH_POISON_GAPS
constexpr size_t kGapBytes = kAlignment;
inline void poison_gap(const void* first, const void* end, const void* next) {
  ASAN_UNPOISON_MEMORY_REGION(first, size_t(static_cast<const uint8_t*>(end) - static_cast<const uint8_t*>(first)));
  ASAN_POISON_MEMORY_REGION(end, size_t(static_cast<const uint8_t*>(next) - static_cast<const uint8_t*>(end)));
}
#else
constexpr size_t kGapBytes = 0;
inline void poison_gap(const void*, const void*, const void*) {}
#endif

class Arena {
 public:
  Arena() = default;                                                        // measures
  explicit Arena(void* memory) : memory_(static_cast<uint8_t*>(memory)) {}  // places; kAlignment-aligned

  // n elements, aligned to kAlignment; NULL while measuring. Sizes are bounded by the checked configuration.
  template <typename T>
  T* take(size_t n) {
    T* out = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (n * sizeof(T) + kGapBytes + kAlignment - 1) / kAlignment * kAlignment;
    if (out != nullptr) poison_gap(out, out + n, memory_ + used_);
    return out;
  }

  // The same, filled with zeros.
  template <typename T>
  T* take_zeros(size_t n) {
    T* out = take<T>(n);
    for (size_t i = 0; i < n && out != nullptr; ++i) out[i] = T();
    return out;
  }

  bool is_measuring() const { return memory_ == nullptr; }
  size_t used() const { return used_; }

 private:
  uint8_t* memory_ = nullptr;
  size_t used_ = 0;
};

}  // namespace pith::internal

#endif
