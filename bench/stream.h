// The machine's own limits, to set the kernels against: plain reads of memory, and chained multiplications in registers.
#ifndef PITH_BENCH_STREAM_H
#define PITH_BENCH_STREAM_H

#include <cstddef>
#include <cstdint>

namespace pith::bench {

// Adds up all words of p [bytes], a multiple of 64 * n_streams, reading n_streams (1, 2 or 4) equal parts side by side.
uint64_t read_streams(const uint8_t* p, size_t bytes, int n_streams);

// A chain of multiplications as the fastest possible product of its kind does them; returns multiply-adds done.
struct MultiplyPeak {
  const char* name;
  int64_t (*run)(int64_t rounds);
};
extern const MultiplyPeak kMultiplyPeaks[];
extern const size_t kMultiplyPeakCount;

}  // namespace pith::bench

#endif
