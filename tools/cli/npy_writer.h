// A NumPy file of float32, row by row: numpy.load reads it.
#ifndef PITH_CLI_NPY_WRITER_H
#define PITH_CLI_NPY_WRITER_H

#include <cstdint>
#include <span>
#include <string>

#include "output_file.h"

namespace pith::cli {

// Format 1.0, little-endian, C order, of shape (rows, cols):
//   "\x93NUMPY" | u8 1 | u8 0 | u16 n | header [n], a Python dictionary, blanks up to a multiple of 64 bytes, "\n"
//   f32 values [rows * cols]
// Appears whole or not at all, as OutputFile has it.
class NpyWriter {
 public:
  NpyWriter(const std::string& path, uint64_t rows, uint64_t cols);
  void write(std::span<const float> values);  // the next ones
  void commit();                              // throws std::logic_error unless rows * cols were written

 private:
  OutputFile file_;
  uint64_t left_;  // values
};

}  // namespace pith::cli

#endif
