#include "descriptors.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace pith::internal {

void open_standard_streams() {
  const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};  // of /dev/null: the first two fail when they are used
  for (int descriptor = 0; descriptor < 3; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
      (void)!::open("/dev/null", modes[descriptor]);  // takes the lowest number: this one
  }
}

bool is_terminal(int descriptor) { return ::isatty(descriptor) == 1; }

bool write_all(int descriptor, const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(descriptor, at, bytes);
    if (n < 0 && errno != EINTR) return false;
    if (n < 0) continue;
    at += n;
    bytes -= size_t(n);
  }
  return true;
}

ptrdiff_t read_some(int descriptor, void* out, size_t bytes) {
  for (;;) {
    const ssize_t n = ::read(descriptor, out, bytes);
    if (n >= 0 || errno != EINTR) return n;
  }
}

}  // namespace pith::internal
