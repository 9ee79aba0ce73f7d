// A regular file, open for reading, on POSIX and on Windows.
#ifndef PITH_FILE_HANDLE_HPP
#define PITH_FILE_HANDLE_HPP

#ifndef _WIN32
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "result.hpp"
#include "windows_header.hpp"

namespace pith {

class FileHandle {
 public:
#ifdef _WIN32
  using Native = HANDLE;
#else
  using Native = int;
#endif
  // `path` is UTF-8. A folder, FIFO or device is refused, and none of them blocks.
  static Result<FileHandle> open(const std::string& path);
  static Failure failure(const std::string& name, const std::string& why) {
    return Failure(PITH_E_ARGUMENT, "file " + name + ": " + why);
  }
  FileHandle(FileHandle&& other) noexcept
      : native_(std::exchange(other.native_, kNone)), size_(other.size_), path_(std::move(other.path_)) {}
  FileHandle& operator=(FileHandle&&) = delete;
  ~FileHandle() {
    if (native_ != kNone) close();
  }
  Native get() const { return native_; }
  size_t size() const { return size_; }
  // Reads up to n bytes from `offset` on and says how many; 0: the file ends there.
  Result<size_t> read(size_t offset, uint8_t* out, size_t n) const;

 private:
  explicit FileHandle(Native native, std::string path) : native_(native), path_(std::move(path)) {}
  void close();
  static inline const Native kNone = Native(-1);
  static constexpr size_t kMostAtOnce = size_t(1) << 30;  // systems take no more than 2^31 - 1
  Native native_;
  size_t size_ = 0;
  std::string path_;
};

#ifdef _WIN32

inline Result<FileHandle> FileHandle::open(const std::string& path) {
  const auto code = [] { return "Windows error " + std::to_string(GetLastError()); };
  const int n = int(path.size());
  std::wstring wide(path.size(), L'\0');  // UTF-16 never takes more units than UTF-8
  wide.resize(size_t(MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), n, wide.data(), n)));
  if (wide.empty()) return failure(path, "no path in UTF-8");
  FileHandle out(CreateFileW(wide.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr, OPEN_EXISTING,
                             FILE_ATTRIBUTE_NORMAL, nullptr),
                 path);
  if (out.native_ == kNone) return failure(path, code());
  LARGE_INTEGER size{};
  if (GetFileType(out.native_) != FILE_TYPE_DISK || GetFileSizeEx(out.native_, &size) == 0)
    return failure(path, "not a regular file");
  out.size_ = size_t(size.QuadPart);
  return out;
}

inline Result<size_t> FileHandle::read(size_t offset, uint8_t* out, size_t n) const {
  OVERLAPPED place{};
  place.Offset = DWORD(offset);
  place.OffsetHigh = DWORD(uint64_t(offset) >> 32);
  DWORD n_read = 0;
  if (ReadFile(native_, out, DWORD(std::min(n, kMostAtOnce)), &n_read, &place) == 0 &&
      GetLastError() != ERROR_HANDLE_EOF)
    return failure(path_, "Windows error " + std::to_string(GetLastError()));
  return size_t(n_read);
}

inline void FileHandle::close() { CloseHandle(native_); }

#else

inline Result<FileHandle> FileHandle::open(const std::string& path) {
  FileHandle out(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), path);  // a FIFO must not block
  if (out.native_ < 0) return failure(path, std::strerror(errno));
  struct stat status {};
  if (::fstat(out.native_, &status) != 0 || !S_ISREG(status.st_mode)) return failure(path, "not a regular file");
  out.size_ = size_t(status.st_size);
  return out;
}

inline Result<size_t> FileHandle::read(size_t offset, uint8_t* out, size_t n) const {
  for (;;) {
    const ssize_t n_read = ::pread(native_, out, std::min(n, kMostAtOnce), off_t(offset));
    if (n_read >= 0) return size_t(n_read);
    if (errno != EINTR) return failure(path_, std::strerror(errno));
  }
}

inline void FileHandle::close() { ::close(native_); }

#endif

}  // namespace pith

#endif
