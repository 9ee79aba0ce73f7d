// Pages of memory.
#ifndef PITH_SYSTEM_PAGES_H
#define PITH_SYSTEM_PAGES_H

#include <cstddef>

namespace pith::internal {

// Gives back the memory of bytes that are a mapped file's: they are read again when they are needed.
void drop_pages(const void* data, size_t bytes);

// Addresses for all bytes, and memory, zeros, for the first `used` ones: what lies behind may be named, and not touched.
// Null: the system has none, errno says why.
void* reserve_addresses(size_t bytes, size_t used);
void release_addresses(void* data, size_t bytes);

// Large pages for memory that has not been touched yet, where the system offers them.
void prefer_large_pages(void* data, size_t bytes);

}  // namespace pith::internal

#endif
