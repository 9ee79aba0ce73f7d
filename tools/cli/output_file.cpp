#include "output_file.h"
#include "standard_streams.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "descriptors.h"
#include "endings.h"
#include "new_file.h"

namespace pith::cli {

using internal::PathKind;

namespace {

// Of the files that are being written, for a handler of signals, which may use neither locks nor the heap.
constexpr int kMaxFiles = 4;
constexpr size_t kMaxPath = 4096;
char unfinished[kMaxFiles][kMaxPath];

void remove_unfinished(int signal) {
  remove_unfinished_files();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void note_unfinished(const std::string& path) {
  for (char(&slot)[kMaxPath] : unfinished) {
    if (slot[0] != 0 || path.size() >= kMaxPath) continue;
    std::memcpy(slot + 1, path.c_str() + 1, path.size());
    slot[0] = path[0];
    break;
  }
  internal::handle_endings(remove_unfinished);
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
    if (path[0] != 0) internal::remove_file(path);
  }
}

OutputFile::OutputFile(const std::string& path, Readers readers)
    : path_(path), target_(with_links_followed(path)), folder_(folder_of(target_)) {
  const internal::PathStatus status = internal::path_status(target_.c_str());
  if (status.kind == PathKind::folder) fail(EISDIR);
  if (status.kind == PathKind::other) fd_ = internal::open_to_write(target_.c_str());
  else open_beside(readers, status.kind == PathKind::regular ? status.permissions : -1);
  if (fd_ < 0) fail(errno);
}

// permissions: of the file that is written over; -1: none is.
void OutputFile::open_beside(Readers readers, int permissions) {
  static int count = 0;
  temporary_ = fmt::format("{}/.pith.{}.{}.tmp", folder_, internal::process_number(), count++);
  fd_ = internal::create_file(temporary_.c_str(), readers == Readers::owner);
  if (fd_ < 0) return;
  note_unfinished(temporary_);
  if (readers == Readers::all && permissions >= 0) internal::set_permissions(fd_, permissions);
}

OutputFile::~OutputFile() {
  if (fd_ >= 0) internal::close_file(fd_);
  if (temporary_.empty()) return;
  internal::remove_file(temporary_.c_str());
  forget_unfinished(temporary_);
}

void OutputFile::fail(int reason) const {
  throw std::runtime_error(fmt::format("file {}: {}", path_, std::strerror(reason)));
}

void OutputFile::write(const void* data, size_t bytes) {
  if (!internal::write_all(fd_, data, bytes)) fail(errno);
  bytes_ += bytes;
}

void OutputFile::rewrite(const void* data, size_t bytes) {
  if (!internal::go_to_start(fd_) || !internal::write_all(fd_, data, bytes) || !internal::go_to_end(fd_)) fail(errno);
}

quantize::PackSink into(OutputFile* file) {
  return {[file](const void* data, size_t bytes) { file->write(data, bytes); },
          [file](const void* data, size_t bytes) { file->rewrite(data, bytes); }};
}

void OutputFile::commit(const std::function<void(const std::string& path)>& check) {
  const bool is_beside = !temporary_.empty();
  if (!internal::sync_file(fd_) && is_beside) fail(errno);  // devices and pipes have nothing to sync
  if (!internal::close_file(std::exchange(fd_, -1))) fail(errno);
  if (!is_beside) return;
  if (check) check(temporary_);
  if (!internal::replace_file(temporary_.c_str(), target_.c_str())) fail(errno);
  forget_unfinished(std::exchange(temporary_, {}));
  // The name is on the disk when its folder is; a system that does not sync folders has done what it can.
  internal::sync_folder(folder_.c_str());
}

std::function<void(uint64_t done, uint64_t total)> progress_bar(const char* what) {
  if (!internal::is_terminal(internal::kStandardError)) return {};
  return [what](uint64_t done, uint64_t total) {
    const int percent = int(total == 0 ? 100 : std::min<uint64_t>(100, 100 * done / total)), width = percent * 2 / 5;
    tell("\r{} [{:<40}] {:3}%{}", what, std::string(size_t(width), '#'), percent, done >= total ? "\n" : "");
  };
}

}  // namespace pith::cli
