// A read-only mapping of a regular file, on POSIX and on Windows.
#ifndef PITH_MAPPED_FILE_HPP
#define PITH_MAPPED_FILE_HPP

#ifndef _WIN32
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "file_handle.hpp"
#include "result.hpp"

namespace pith {

class MappedFile {
 public:
  MappedFile() = default;
  // `path` is UTF-8.
  static Result<MappedFile> open(const std::string& path);
#ifndef _WIN32
  // Bytes [offset, offset + bytes) of the file that a descriptor is open for, which may be closed afterwards: a model
  // inside an application's archive.
  static Result<MappedFile> open(int descriptor, uint64_t offset, size_t bytes);
#endif
#if PITH_EXCEPTIONS
  explicit MappedFile(const std::string& path) : MappedFile(open(path).value()) {}
#endif
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        shift_(std::exchange(other.shift_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(shift_, other.shift_);
    return *this;
  }
  ~MappedFile() {
    if (data_ != nullptr) unmap();
  }
  // Of a whole file at a multiple of PITH_ALIGNMENT; of a part, if its offset is one. An empty file has no mapping: its
  // data is some valid address.
  const void* data() const { return data_ != nullptr ? data_ : kEmpty; }
  size_t size() const { return size_; }

  // Asks the system to read bytes of the mapping in the background. Where it takes no such hint, nothing comes of it.
  void read_ahead(const void* first, size_t bytes) const;
  // Bytes of the mapping that are in memory now, whole pages; 0 where the system does not say.
  size_t resident_bytes() const;

 private:
  void unmap();

  alignas(PITH_ALIGNMENT) static constexpr char kEmpty[PITH_ALIGNMENT] = {};
  const void* data_ = nullptr;
  size_t size_ = 0;
  size_t shift_ = 0;  // bytes of the mapping before data_: it begins with a page
};

#ifdef _WIN32

inline Result<MappedFile> MappedFile::open(const std::string& path) {
  const Result<FileHandle> file = FileHandle::open(path);
  if (!file) return file.error();
  MappedFile out;
  out.size_ = file->size();
  if (out.size_ == 0) return out;
  const HANDLE mapping = CreateFileMappingW(file->get(), nullptr, PAGE_READONLY, 0, 0, nullptr);
  if (mapping != nullptr) out.data_ = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
  const std::string why = "Windows error " + std::to_string(GetLastError());
  if (mapping != nullptr) CloseHandle(mapping);  // the view keeps it
  if (out.data_ == nullptr) return FileHandle::failure(path, why);
  return out;
}

inline void MappedFile::unmap() { UnmapViewOfFile(data_); }

inline void MappedFile::read_ahead(const void*, size_t) const {}

inline size_t MappedFile::resident_bytes() const { return 0; }

#else

inline Result<MappedFile> MappedFile::open(const std::string& path) {
  const Result<FileHandle> file = FileHandle::open(path);
  if (!file) return file.error();
  MappedFile out;
  out.size_ = file->size();
  if (out.size_ == 0) return out;
  void* mapping = ::mmap(nullptr, out.size_, PROT_READ, MAP_PRIVATE, file->get(), 0);
  if (mapping == MAP_FAILED) return FileHandle::failure(path, std::strerror(errno));
  out.data_ = mapping;
  return out;
}

inline Result<MappedFile> MappedFile::open(int descriptor, uint64_t offset, size_t bytes) {
  const std::string name = "of descriptor " + std::to_string(descriptor);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return FileHandle::failure(name, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return FileHandle::failure(name, "not a regular file");
  const uint64_t file_bytes = uint64_t(status.st_size);
  if (offset > file_bytes || bytes > file_bytes - offset)
    return FileHandle::failure(name, "has " + std::to_string(file_bytes) + " bytes, and not " + std::to_string(bytes) +
                                         " from " + std::to_string(offset) + " on");
  MappedFile out;
  out.size_ = bytes;
  if (bytes == 0) return out;
  out.shift_ = size_t(offset % uint64_t(::sysconf(_SC_PAGESIZE)));
  void* mapping = ::mmap(nullptr, bytes + out.shift_, PROT_READ, MAP_PRIVATE, descriptor, off_t(offset - out.shift_));
  if (mapping == MAP_FAILED) return FileHandle::failure(name, std::strerror(errno));
  out.data_ = static_cast<const char*>(mapping) + out.shift_;
  return out;
}

inline void MappedFile::unmap() {
  ::munmap(const_cast<char*>(static_cast<const char*>(data_)) - shift_, size_ + shift_);
}

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
  const size_t whole = size_ + shift_;
  size_t n = 0;
  for (size_t at = 0; at < whole; at += kPages * page) {
    const size_t bytes = std::min(whole - at, kPages * page);
    char* first = static_cast<char*>(const_cast<void*>(data_)) - shift_ + at;
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
