// What the process holds of the machine's memory.
#ifndef PITH_CLI_RESIDENT_BYTES_H
#define PITH_CLI_RESIDENT_BYTES_H

#include <cstdint>

namespace pith::cli {

// Bytes of this process in memory now, mapped files included; 0 where the system does not say.
uint64_t resident_bytes();

}  // namespace pith::cli

#endif
