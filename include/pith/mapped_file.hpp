// A read-only mapping of a regular file, on POSIX and on Windows.
#ifndef PITH_MAPPED_FILE_HPP
#define PITH_MAPPED_FILE_HPP

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
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
#include <vector>

#include "result.hpp"

namespace pith {

class MappedFile {
 public:
  MappedFile() = default;
  // `path` is UTF-8.
  static Result<MappedFile> open(const std::string& path);
#if PITH_EXCEPTIONS
  explicit MappedFile(const std::string& path) : MappedFile(open(path).value()) {}
#endif
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) unmap();
  }
  // At a multiple of PITH_ALIGNMENT. An empty file has no mapping: its data is some valid address.
  const void* data() const { return data_ != nullptr ? data_ : kEmpty; }
  size_t size() const { return size_; }

  // Asks the system to read bytes of the mapping in the background. Where it takes no such hint, nothing comes of it.
  void read_ahead(const void* first, size_t bytes) const;
  // Bytes of the mapping that are in memory now, whole pages; 0 where the system does not say.
  size_t resident_bytes() const;

 private:
  static Failure failure(const std::string& path, const std::string& why) {
    return Failure(PITH_E_ARGUMENT, "file " + path + ": " + why);
  }
  void unmap();

  alignas(PITH_ALIGNMENT) static constexpr char kEmpty[PITH_ALIGNMENT] = {};
  const void* data_ = nullptr;
  size_t size_ = 0;
};

#ifdef _WIN32

inline Result<MappedFile> MappedFile::open(const std::string& path) {
  const auto code = [] { return "Windows error " + std::to_string(GetLastError()); };
  const int n = int(path.size());
  std::wstring wide(path.size(), L'\0');  // UTF-16 never takes more units than UTF-8
  wide.resize(size_t(MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path.data(), n, wide.data(), n)));
  if (wide.empty()) return failure(path, "no path in UTF-8");
  const HANDLE file = CreateFileW(wide.c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                                  OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (file == INVALID_HANDLE_VALUE) return failure(path, code());
  MappedFile out;
  LARGE_INTEGER size{};
  const bool is_regular = GetFileType(file) == FILE_TYPE_DISK && GetFileSizeEx(file, &size) != 0;
  out.size_ = is_regular ? size_t(size.QuadPart) : 0;
  std::string why = is_regular ? "" : "not a regular file";
  if (out.size_ > 0) {
    const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
    if (mapping != nullptr) out.data_ = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
    if (out.data_ == nullptr) why = code();
    if (mapping != nullptr) CloseHandle(mapping);  // the view keeps it
  }
  CloseHandle(file);
  if (!why.empty()) return failure(path, why);
  return out;
}

inline void MappedFile::unmap() { UnmapViewOfFile(data_); }

inline void MappedFile::read_ahead(const void*, size_t) const {}

inline size_t MappedFile::resident_bytes() const { return 0; }

#else

inline Result<MappedFile> MappedFile::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not block
  if (fd < 0) return failure(path, std::strerror(errno));
  MappedFile out;
  struct stat status {};
  const bool is_regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  out.size_ = is_regular ? size_t(status.st_size) : 0;
  if (out.size_ > 0) {
    void* mapping = ::mmap(nullptr, out.size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping != MAP_FAILED) out.data_ = mapping;
  }
  const int reason = errno;
  ::close(fd);
  if (!is_regular) return failure(path, "not a regular file");
  if (out.size_ > 0 && out.data_ == nullptr) return failure(path, std::strerror(reason));
  return out;
}

inline void MappedFile::unmap() { ::munmap(const_cast<void*>(data_), size_); }

inline void MappedFile::read_ahead(const void* first, size_t bytes) const {
  if (data_ == nullptr) return;
  const uintptr_t page = uintptr_t(::sysconf(_SC_PAGESIZE)), begin = reinterpret_cast<uintptr_t>(first) / page * page;
  ::posix_madvise(reinterpret_cast<void*>(begin), reinterpret_cast<uintptr_t>(first) + bytes - begin,
                  POSIX_MADV_WILLNEED);
}

inline size_t MappedFile::resident_bytes() const {
#ifdef __linux__
  constexpr size_t kPages = 65536;  // of a call
  const size_t page = size_t(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> is_in(kPages);
  size_t n = 0;
  for (size_t at = 0; at < size_; at += kPages * page) {
    const size_t bytes = std::min(size_ - at, kPages * page);
    char* first = static_cast<char*>(const_cast<void*>(data_)) + at;
    if (::mincore(first, bytes, is_in.data()) != 0) return 0;
    for (size_t i = 0; i * page < bytes; ++i) n += (is_in[i] & 1) != 0 ? std::min(page, bytes - i * page) : 0;
  }
  return n;
#else
  return 0;
#endif
}

#endif

}  // namespace pith

#endif
