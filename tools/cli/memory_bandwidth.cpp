#include "memory_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "options.h"

namespace pith::cli {
namespace {

constexpr size_t kBytes = 256u << 20;
constexpr size_t kStreams = 4;

// Sums words [n], four streams at once; the sum keeps the reads alive.
uint64_t read_words(const uint64_t* words, size_t n) {
  const size_t step = n / kStreams;
  uint64_t sums[kStreams][8] = {};
  for (size_t i = 0; i + 8 <= step; i += 8) {
    for (size_t s = 0; s < kStreams; ++s) {
      for (size_t k = 0; k < 8; ++k) sums[s][k] += words[s * step + i + k];
    }
  }
  uint64_t total = 0;
  for (const auto& stream : sums) {
    for (const uint64_t sum : stream) total += sum;
  }
  return total;
}

}  // namespace

double read_gb_per_s(uint32_t threads) {
  static const std::vector<uint64_t> words(kBytes / sizeof(uint64_t), 1);
  std::atomic<uint64_t> total = 0;
  double best = 0;
  for (int pass = 0; pass < 3; ++pass) {
    const double start = seconds();
    std::vector<std::thread> readers;
    const size_t share = words.size() / threads;
    for (uint32_t t = 0; t < threads; ++t)
      readers.emplace_back([&, t] { total += read_words(words.data() + t * share, share); });
    for (std::thread& reader : readers) reader.join();
    best = std::max(best, double(kBytes) / (seconds() - start) / 1e9);
  }
  return total == 0 ? 0 : best;
}

}  // namespace pith::cli
