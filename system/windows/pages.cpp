#include "pages.h"

#include <windows.h>

#include <cerrno>

namespace pith::internal {

// Unlocking pages that are not locked takes them out of the process's memory, and fails: as it is documented.
void drop_pages(const void* data, size_t bytes) { VirtualUnlock(const_cast<void*>(data), bytes); }

void* reserve_addresses(size_t bytes, size_t used) {
  void* data = VirtualAlloc(nullptr, bytes, MEM_RESERVE, PAGE_READWRITE);
  if (data != nullptr && VirtualAlloc(data, used, MEM_COMMIT, PAGE_READWRITE) != nullptr) return data;
  if (data != nullptr) VirtualFree(data, 0, MEM_RELEASE);
  errno = ENOMEM;
  return nullptr;
}

void release_addresses(void* data, size_t) { VirtualFree(data, 0, MEM_RELEASE); }

void prefer_large_pages(void*, size_t) {}  // they need a right that programs seldom have

}  // namespace pith::internal
