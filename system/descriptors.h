// Files that are open, and the standard streams, by the numbers that POSIX gave them. What fails leaves its reason in
// errno. For the command: the library opens nothing.
#ifndef PITH_SYSTEM_DESCRIPTORS_H
#define PITH_SYSTEM_DESCRIPTORS_H

#include <cstddef>

namespace pith::internal {

constexpr int kStandardInput = 0, kStandardOutput = 1, kStandardError = 2;

// Once, before any file is opened: the three exist afterwards, so that no file gets one of their numbers. What reads or
// writes one that was closed fails, but on standard error. Bytes are passed as they are, and a console shows UTF-8.
void open_standard_streams();

bool is_terminal(int descriptor);

// False: not all of it was written.
bool write_all(int descriptor, const void* data, size_t bytes);

// How many bytes have come, at most so many; 0: the input ends; negative: it failed.
ptrdiff_t read_some(int descriptor, void* out, size_t bytes);

}  // namespace pith::internal

#endif
