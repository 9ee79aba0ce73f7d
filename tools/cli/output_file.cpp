#include "output_file.h"
#include "standard_streams.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace pith::cli {

namespace {

// Of the files that are being written, for a handler of signals, which may use neither locks nor the heap.
constexpr int kMaxFiles = 4;
constexpr size_t kMaxPath = 4096;
char unfinished[kMaxFiles][kMaxPath];
constexpr int kEndings[] = {SIGINT, SIGTERM, SIGHUP};

void remove_unfinished(int signal) {
  remove_unfinished_files();
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

void note_unfinished(const std::string& path) {
  for (char(&slot)[kMaxPath] : unfinished) {
    if (slot[0] != 0 || path.size() >= kMaxPath) continue;
    std::memcpy(slot + 1, path.c_str() + 1, path.size());
    slot[0] = path[0];
    break;
  }
  // One that somebody ignores or handles already stays so: nohup, Ctrl-C of a text.
  for (const int signal : kEndings) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) std::signal(signal, remove_unfinished);
  }
}

void forget_unfinished(const std::string& path) {
  for (char(&slot)[kMaxPath] : unfinished) {
    if (path == slot) slot[0] = 0;
  }
}

// Where a path leads to: what the last of some links names, which may not be there yet.
std::string with_links_followed(std::filesystem::path path) {
  constexpr int kMaxLinks = 40;  // as Linux has it
  std::error_code error;
  for (int i = 0; i < kMaxLinks && std::filesystem::is_symlink(path, error); ++i)
    path = path.parent_path() / std::filesystem::read_symlink(path, error);
  return path.string();
}

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

void remove_unfinished_files() {
  for (const char* path : unfinished) {
    if (path[0] != 0) ::unlink(path);
  }
}

OutputFile::OutputFile(const std::string& path, Readers readers) : path_(path), target_(with_links_followed(path)) {
  struct stat status {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail(EISDIR);
  if (exists && !S_ISREG(status.st_mode)) fd_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
  else open_beside(readers, exists ? int(status.st_mode & 07777) : -1);
  if (fd_ < 0) fail(errno);
}

// permissions: of the file that is written over; -1: none is.
void OutputFile::open_beside(Readers readers, int permissions) {
  static int count = 0;
  temporary_ = fmt::format("{}/.pith.{}.{}.tmp", folder_of(target_), ::getpid(), count++);
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, readers == Readers::owner ? 0600 : 0666);
  if (fd_ < 0) return;
  note_unfinished(temporary_);
  if (readers == Readers::all && permissions >= 0) (void)!::fchmod(fd_, mode_t(permissions));
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) ::close(fd_);
  if (temporary_.empty()) return;
  ::unlink(temporary_.c_str());
  forget_unfinished(temporary_);
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

void OutputFile::commit(const std::function<void(const std::string& path)>& check) {
  const bool is_beside = !temporary_.empty();
  if (is_beside && check) check(temporary_);
  if (::fsync(fd_) != 0 && is_beside) fail(errno);  // devices and pipes have nothing to sync
  const int closed = ::close(std::exchange(fd_, -1));
  if (closed != 0) fail(errno);
  if (!is_beside) return;
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
  forget_unfinished(std::exchange(temporary_, {}));
  // The name is on the disk when its folder is; a system that does not sync folders has done what it can.
  const int folder = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  (void)!::fsync(folder);
  ::close(folder);
}

std::function<void(uint64_t done, uint64_t total)> progress_bar(const char* what) {
  if (::isatty(STDERR_FILENO) == 0) return {};
  return [what](uint64_t done, uint64_t total) {
    const int percent = int(total == 0 ? 100 : std::min<uint64_t>(100, 100 * done / total)), width = percent * 2 / 5;
    tell("\r{} [{:<40}] {:3}%{}", what, std::string(size_t(width), '#'), percent, done >= total ? "\n" : "");
  };
}

}  // namespace pith::cli
