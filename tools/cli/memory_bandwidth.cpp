#include "memory_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "cpu.h"
#include "machine.h"
#include "options.h"
#include "pages.h"

namespace pith::cli {
namespace {

constexpr size_t kLeastBytes = size_t(256) << 20;
constexpr size_t kHugePage = size_t(2) << 20;
constexpr size_t kLine = 64;
constexpr int kPasses = 3;

// A loop exclusive-ors all of p [bytes], a multiple of 8 lines: cheaper than the reads, and it keeps them alive.
using ReadLoop = uint64_t (*)(const uint8_t* p, size_t bytes);

// n_streams equal parts side by side, as words of 64 bits.
template <int n_streams>
uint64_t read_words(const uint8_t* p, size_t bytes) {
  constexpr size_t kWords = kLine / sizeof(uint64_t);
  const auto* words = reinterpret_cast<const uint64_t*>(p);
  const size_t part = bytes / sizeof(uint64_t) / n_streams;
  uint64_t sums[n_streams][kWords] = {};
  for (size_t i = 0; i < part; i += kWords) {
    for (size_t s = 0; s < n_streams; ++s) {
      for (size_t k = 0; k < kWords; ++k) sums[s][k] ^= words[s * part + i + k];
    }
  }
  uint64_t total = 0;
  for (const auto& stream : sums) {
    for (const uint64_t sum : stream) total ^= sum;
  }
  return total;
}

#ifdef __x86_64__

// Likewise as vectors of 256 bits.
template <int n_streams>
[[gnu::target("avx2")]] uint64_t read_vectors(const uint8_t* p, size_t bytes) {
  typedef uint64_t Vector __attribute__((vector_size(32), may_alias));
  const auto* vectors = reinterpret_cast<const Vector*>(p);
  const size_t part = bytes / sizeof(Vector) / n_streams;
  Vector sums[n_streams][2] = {};
  for (size_t i = 0; i < part; i += 2) {
    for (size_t s = 0; s < n_streams; ++s) {
      for (size_t k = 0; k < 2; ++k) sums[s][k] ^= vectors[s * part + i + k];
    }
  }
  Vector total = {};
  for (const auto& stream : sums) total ^= stream[0] ^ stream[1];
  return total[0] ^ total[1] ^ total[2] ^ total[3];
}

#endif

std::vector<ReadLoop> read_loops() {
  std::vector<ReadLoop> loops = {read_words<1>, read_words<2>, read_words<4>, read_words<8>};
#ifdef __x86_64__
  if (internal::cpu_has_avx2())
    loops.insert(loops.end(), {read_vectors<1>, read_vectors<2>, read_vectors<4>, read_vectors<8>});
#endif
  return loops;
}

size_t buffer_bytes() {
  const size_t bytes = std::max(kLeastBytes, 4 * internal::last_cache_bytes());
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

struct FreeBytes {
  void operator()(uint8_t* p) const { ::operator delete(p, std::align_val_t(kHugePage)); }
};
using Buffer = std::unique_ptr<uint8_t, FreeBytes>;

// Written once, so that every page is one of its own.
Buffer make_buffer(size_t bytes) {
  Buffer buffer(static_cast<uint8_t*>(::operator new(bytes, std::align_val_t(kHugePage))));
  internal::prefer_large_pages(buffer.get(), bytes);
  std::memset(buffer.get(), 1, bytes);
  return buffer;
}

}  // namespace

double read_gb_per_s(uint32_t threads) {
  const std::vector<ReadLoop> loops = read_loops();
  const size_t bytes = buffer_bytes(), share = bytes / threads / (8 * kLine) * (8 * kLine);
  const Buffer buffer = make_buffer(bytes);
  std::atomic<uint64_t> keep = 0;
  double best = 0, start = 0;
  std::barrier join(threads);
  const auto read = [&](uint32_t thread) {
    for (const ReadLoop loop : loops) {
      for (int pass = 0; pass < kPasses; ++pass) {
        join.arrive_and_wait();
        if (thread == 0) start = seconds();
        keep ^= loop(buffer.get() + thread * share, share);
        join.arrive_and_wait();
        if (thread == 0) best = std::max(best, double(share) * threads / (seconds() - start) / 1e9);
      }
    }
  };
  std::vector<std::thread> others;
  for (uint32_t thread = 1; thread < threads; ++thread) others.emplace_back(read, thread);
  read(0);
  for (std::thread& other : others) other.join();
  return best;
}

}  // namespace pith::cli
