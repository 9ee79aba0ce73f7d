#include "output_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include <fmt/core.h>

namespace pith::cli {

OutputFile::OutputFile(const std::string& path)
    : path_(path),
      temporary_(fmt::format("{}.{}.tmp", path, ::getpid())),
      fd_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {
  if (fd_ < 0) fail(errno);
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void OutputFile::fail(int reason) const {
  throw std::runtime_error(fmt::format("file {}: {}", path_, std::strerror(reason)));
}

void OutputFile::write(const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd_, at, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(errno);
    at += n;
    bytes -= size_t(n);
  }
}

void OutputFile::rewrite(const void* data, size_t bytes) {
  if (::lseek(fd_, 0, SEEK_SET) < 0) fail(errno);
  write(data, bytes);
  if (::lseek(fd_, 0, SEEK_END) < 0) fail(errno);
}

quantize::PackSink into(OutputFile* file) {
  return {[file](const void* data, size_t bytes) { file->write(data, bytes); },
          [file](const void* data, size_t bytes) { file->rewrite(data, bytes); }};
}

void OutputFile::commit() {
  if (::fsync(fd_) != 0) fail(errno);
  ::close(fd_);
  fd_ = -1;
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int reason = errno;
    ::unlink(temporary_.c_str());
    fail(reason);
  }
}

std::function<void(uint64_t done, uint64_t total)> progress_bar(const char* what) {
  if (::isatty(STDERR_FILENO) == 0) return {};
  return [what](uint64_t done, uint64_t total) {
    const int percent = int(total == 0 ? 100 : std::min<uint64_t>(100, 100 * done / total)), width = percent * 2 / 5;
    fmt::print(stderr, "\r{} [{:<40}] {:3}%{}", what, std::string(size_t(width), '#'), percent,
               done >= total ? "\n" : "");
    std::fflush(stderr);
  };
}

}  // namespace pith::cli
