// Where buffers begin.
#ifndef PITH_GROUND_ALIGNMENT_H
#define PITH_GROUND_ALIGNMENT_H

#include <cstddef>
#include <cstdint>

namespace pith::internal {

// Of every buffer, of a session's memory and of a model's bytes: PITH_ALIGNMENT of the C ABI. A cache line, and the
// widest vector register.
constexpr size_t kAlignment = 64;

inline bool is_aligned(const void* address) { return reinterpret_cast<uintptr_t>(address) % kAlignment == 0; }

}  // namespace pith::internal

#endif
