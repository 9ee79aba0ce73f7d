// A file that appears whole or not at all: written beside its name, synced, then renamed over it.
#ifndef PITH_CLI_OUTPUT_FILE_H
#define PITH_CLI_OUTPUT_FILE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "pack.h"

namespace pith::cli {

class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  ~OutputFile();  // without commit: removes what was written
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(const void* data, size_t bytes);
  // The first bytes of the file again.
  void rewrite(const void* data, size_t bytes);
  void commit();

 private:
  [[noreturn]] void fail(int reason) const;
  std::string path_, temporary_;
  int fd_;
};

// What a packer writes, into the file.
quantize::PackSink into(OutputFile* file);

// A progress bar on standard error if that is a terminal; otherwise an empty function.
std::function<void(uint64_t done, uint64_t total)> progress_bar(const char* what);

}  // namespace pith::cli

#endif
