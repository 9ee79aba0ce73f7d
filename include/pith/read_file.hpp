// A regular file read into memory: afterwards nothing that happens to the file, or to the disk, reaches the program.
#ifndef PITH_READ_FILE_HPP
#define PITH_READ_FILE_HPP

#include <cstddef>
#include <cstdint>
#include <string>

#include "file_handle.hpp"
#include "result.hpp"

namespace pith {

// All of it, at a multiple of PITH_ALIGNMENT. `path` is UTF-8.
inline Result<Memory> read_file(const std::string& path) {
  Result<FileHandle> file = FileHandle::open(path);
  if (!file) return file.error();
  Result<Memory> memory = Memory::create(file->size());
  if (!memory) return memory.error();
  uint8_t* bytes = static_cast<uint8_t*>(memory->data());
  for (size_t at = 0; at < file->size();) {
    const Result<size_t> n = file->read(at, bytes + at, file->size() - at);
    if (!n) return n.error();
    if (*n == 0)
      return FileHandle::failure(path, "ends after " + std::to_string(at) + " of " + std::to_string(file->size()) +
                                           " bytes: it was cut while it was read");
    at += *n;
  }
  return memory;
}

}  // namespace pith

#endif
