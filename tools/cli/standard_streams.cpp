#include "standard_streams.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "descriptors.h"
#include "text/characters.h"

namespace pith::cli {
namespace {

constexpr size_t kAtOnce = 1 << 16;  // bytes

std::string waiting;
bool is_open = true;
std::string unread;  // of standard input

// 0, or the reason why not all of it was written.
int write_all(int descriptor, std::string_view text) {
  return internal::write_all(descriptor, text.data(), text.size()) ? 0 : errno;
}

// Appends what comes next. How many bytes; 0: the input has ended; negative: it cannot be read.
ptrdiff_t read_more() {
  char buffer[kAtOnce];
  const ptrdiff_t n = internal::read_some(internal::kStandardInput, buffer, sizeof buffer);
  if (n > 0) unread.append(buffer, size_t(n));
  return n;
}

}  // namespace

std::string read_input() {
  ptrdiff_t n = 1;
  while (n > 0) n = read_more();
  if (n < 0) throw std::runtime_error(fmt::format("standard input: {}", std::strerror(errno)));
  return std::exchange(unread, {});
}

std::optional<std::string> read_input_line() {
  size_t length = unread.find('\n');
  for (size_t seen = unread.size(); length == std::string::npos && read_more() > 0; seen = unread.size())
    length = unread.find('\n', seen);
  if (unread.empty()) return std::nullopt;
  std::string line = unread.substr(0, length);
  unread.erase(0, std::min(line.size() + 1, unread.size()));
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

void write_output(std::string_view text) {
  if (!is_open) return;
  waiting += text;
  if (waiting.size() >= kAtOnce) flush_output();
}

void flush_output() {
  const std::string text = std::exchange(waiting, {});
  const int reason = is_open ? write_all(internal::kStandardOutput, text) : 0;
  if (reason == EPIPE) is_open = false;
  else if (reason != 0) throw std::runtime_error(fmt::format("standard output: {}", std::strerror(reason)));
}

void tell_text(std::string_view text) { write_all(internal::kStandardError, text); }

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
