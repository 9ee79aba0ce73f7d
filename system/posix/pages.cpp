#include "pages.h"

#include <sys/mman.h>

namespace pith::internal {

void drop_pages(const void* data, size_t bytes) { ::madvise(const_cast<void*>(data), bytes, MADV_DONTNEED); }

// Memory comes with the first touch of a page.
void* reserve_addresses(size_t bytes, size_t) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}

void release_addresses(void* data, size_t bytes) { ::munmap(data, bytes); }

void prefer_large_pages([[maybe_unused]] void* data, [[maybe_unused]] size_t bytes) {
#ifdef MADV_HUGEPAGE                      // Linux
  ::madvise(data, bytes, MADV_HUGEPAGE);  // refused: small pages
#endif
}

}  // namespace pith::internal
