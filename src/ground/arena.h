// One block of the caller's memory, handed out front to back. The same layout code runs twice: over no memory, to learn
// the exact size, and over the block, to place the buffers.
#ifndef PITH_GROUND_ARENA_H
#define PITH_GROUND_ARENA_H

#include <cstddef>
#include <cstdint>

#include "ground/alignment.h"

namespace pith::internal {

class Arena {
 public:
  Arena() = default;                                                        // measures
  explicit Arena(void* memory) : memory_(static_cast<uint8_t*>(memory)) {}  // places; kAlignment-aligned

  // n elements, aligned to kAlignment; NULL while measuring. Sizes are bounded by the checked configuration.
  template <typename T>
  T* take(size_t n) {
    T* out = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (n * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
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
