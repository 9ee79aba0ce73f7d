#include "standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "text/characters.h"

namespace pith::cli {
namespace {

constexpr size_t kAtOnce = 1 << 16;  // bytes

std::string waiting;
bool is_open = true;

// 0, or the reason why not all of it was written.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n >= 0) text.remove_prefix(size_t(n));
    else if (errno != EINTR) return errno;
  }
  return 0;
}

}  // namespace

void open_standard_streams() {
  const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};  // of /dev/null: the first two fail when they are used
  for (int fd = 0; fd < 3; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      (void)!::open("/dev/null", modes[fd]);  // takes the lowest number: fd
  }
}

void write_output(std::string_view text) {
  if (!is_open) return;
  waiting += text;
  if (waiting.size() >= kAtOnce) flush_output();
}

void flush_output() {
  const std::string text = std::exchange(waiting, {});
  const int reason = is_open ? write_all(STDOUT_FILENO, text) : 0;
  if (reason == EPIPE) is_open = false;
  else if (reason != 0) throw std::runtime_error(fmt::format("standard output: {}", std::strerror(reason)));
}

void tell_text(std::string_view text) { write_all(STDERR_FILENO, text); }

bool is_output_open() { return is_open; }

std::string escaped(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const internal::Character c = internal::character_at(text, at);
    const bool is_control = c.code < 0x20 || (c.code >= 0x7f && c.code < 0xa0);
    const bool turns_text = (c.code >= 0x202a && c.code <= 0x202e) || (c.code >= 0x2066 && c.code <= 0x2069);
    if (c.code >= internal::kNoCharacter || is_control) out += fmt::format("\\x{:02x}", c.code & 255);
    else if (turns_text) out += fmt::format("\\u{:04x}", c.code);
    else out += text.substr(at, c.bytes);
    at += c.bytes;
  }
  return out;
}

}  // namespace pith::cli
