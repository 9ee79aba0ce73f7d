// Memory of exactly the size that an object asks for: AddressSanitizer sees every byte beyond.
#ifndef PITH_TESTS_FUZZ_MEMORY_H
#define PITH_TESTS_FUZZ_MEMORY_H

#include <cstdlib>
#include <cstring>
#include <memory>

#include "pith/pith.h"

namespace pith::fuzz {

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, FreeMemory>;

inline Memory memory_of(size_t size) {
  void* memory = nullptr;
  if (posix_memalign(&memory, PITH_ALIGNMENT, size == 0 ? 1 : size) != 0) std::abort();
  return Memory(memory);
}

inline Memory copy_of(const void* bytes, size_t size) {
  Memory memory = memory_of(size);
  if (size > 0) std::memcpy(memory.get(), bytes, size);
  return memory;
}

inline void require(bool good) {
  if (!good) std::abort();
}

}  // namespace pith::fuzz

#endif
