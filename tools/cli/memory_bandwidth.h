// The machine's own read bandwidth, to set a model's against.
#ifndef PITH_CLI_MEMORY_BANDWIDTH_H
#define PITH_CLI_MEMORY_BANDWIDTH_H

#include <cstdint>

namespace pith::cli {

// GB/s that `threads` threads read from memory together: the best of 3 passes of each of several plain loops (words of 64 bits and
// vectors of 256, where the CPU has them, in 1, 2, 4 or 8 streams a thread), over a buffer of four times the last cache and at least
// 256 MB, in huge pages where the system offers them. The buffer is given back.
double read_gb_per_s(uint32_t threads);

}  // namespace pith::cli

#endif
