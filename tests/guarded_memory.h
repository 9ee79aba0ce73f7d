// Memory for objects of the library between inaccessible pages, filled with a pattern: what reads or writes beyond its bytes ends the
// test, and what reads before it writes shows in the results.
#ifndef PITH_TESTS_GUARDED_MEMORY_H
#define PITH_TESTS_GUARDED_MEMORY_H

#include <doctest/doctest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "pith/pith.h"

#ifdef PITH_POISON_GAPS
#include <sanitizer/asan_interface.h>
#endif

namespace pith::test {

// Zeros; the largest integers and a NaN; ordinary small numbers; NaN as float32 and as float16, a large integer otherwise; a signalling
// NaN, whose bytes are 0 and 1 among others.
inline constexpr uint32_t kPatterns[] = {0, 0xffffffff, 0xa5a5a5a5, 0x7fff7fff, 0x7f800001};

// Makes memory ordinary again that an object lay in (src/ground/arena.h).
inline void unpoison([[maybe_unused]] const void* memory, [[maybe_unused]] size_t n) {
#ifdef PITH_POISON_GAPS
  ASAN_UNPOISON_MEMORY_REGION(memory, n);
#endif
}

enum class Place { at_begin, at_end };  // next to which inaccessible page

class GuardedMemory {
 public:
  // n bytes, a multiple of PITH_ALIGNMENT for Place::at_end, which they end with.
  GuardedMemory(size_t n, Place place, uint32_t pattern) : n_(n) {
    const size_t page = size_t(::sysconf(_SC_PAGESIZE)), inner = (n + page) / page * page;
    size_ = inner + 2 * page;
    base_ = static_cast<uint8_t*>(::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(base_ != MAP_FAILED);
    REQUIRE(::mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) == 0);
    first_ = base_ + page;
    inner_ = inner;
    data_ = place == Place::at_begin ? first_ : first_ + inner - n;
    fill(pattern);
  }
  ~GuardedMemory() {
    unpoison(first_, inner_);
    ::munmap(base_, size_);
  }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  void fill(uint32_t pattern) {
    unpoison(first_, inner_);
    pattern_ = pattern;
    for (size_t at = 0; at < inner_; at += sizeof pattern) std::memcpy(first_ + at, &pattern, sizeof pattern);
  }
  // Whether the bytes of the same pages that do not belong to the object are as they were.
  bool is_clean_around() const {
    return is_filled(first_, size_t(data_ - first_)) && is_filled(data_ + n_, inner_ - n_ - size_t(data_ - first_));
  }
  bool is_untouched() const { return is_filled(first_, inner_); }
  uint8_t* data() const { return data_; }
  size_t size() const { return n_; }

 private:
  bool is_filled(const uint8_t* from, size_t n) const {
    uint8_t bytes[sizeof pattern_];
    std::memcpy(bytes, &pattern_, sizeof bytes);
    for (size_t i = 0; i < n; ++i) {
      if (from[i] != bytes[size_t(from + i - first_) % sizeof bytes]) return false;
    }
    return true;
  }
  uint8_t *base_, *first_ = nullptr, *data_ = nullptr;
  size_t n_, size_ = 0, inner_ = 0;
  uint32_t pattern_ = 0;
};

}  // namespace pith::test

#endif
