// The machine's own read bandwidth, to set a model's against.
#ifndef PITH_CLI_MEMORY_BANDWIDTH_H
#define PITH_CLI_MEMORY_BANDWIDTH_H

#include <cstdint>

namespace pith::cli {

// GB/s of plain reads by `threads` threads, each with 4 streams, over 256 MB: the best of 3 passes.
double read_gb_per_s(uint32_t threads);

}  // namespace pith::cli

#endif
