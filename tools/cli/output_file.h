// A file that appears whole or not at all: written beside its name, synced, then renamed over it. What stands there and is no regular file, a
// device or a pipe, is written as it is; a link is followed.
#ifndef PITH_CLI_OUTPUT_FILE_H
#define PITH_CLI_OUTPUT_FILE_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "pack.h"

namespace pith::cli {

// Who may read it. One that is written over keeps its permissions, unless it is for its owner.
enum class Readers { all, owner };

class OutputFile {
 public:
  explicit OutputFile(const std::string& path, Readers readers = Readers::all);
  ~OutputFile();  // without commit: removes what was written. So do signals that end the program
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  void write(const void* data, size_t bytes);
  // The first bytes of the file again.
  void rewrite(const void* data, size_t bytes);
  uint64_t bytes() const { return bytes_; }  // written so far
  // What check() throws of the finished file ends the writing: nothing appears. Not called for what is written in place. Once the file
  // is there nothing is allocated, so that a command which does this last never fails with its file in place.
  void commit(const std::function<void(const std::string& path)>& check = {});

 private:
  [[noreturn]] void fail(int reason) const;
  void open_beside(Readers readers, int permissions);
  std::string path_;       // as it was given
  std::string target_;     // with links followed
  std::string folder_;     // of target_
  std::string temporary_;  // "": written in place
  uint64_t bytes_ = 0;
  int fd_ = -1;
};

// Of all that are being written: for ends without destructors. Uses neither locks nor the heap.
void remove_unfinished_files();

// What a packer writes, into the file.
quantize::PackSink into(OutputFile* file);

// A progress bar on standard error if that is a terminal; otherwise an empty function.
std::function<void(uint64_t done, uint64_t total)> progress_bar(const char* what);

}  // namespace pith::cli

#endif
