#include "npy_writer.h"

#include <bit>
#include <stdexcept>

#include <fmt/core.h>

namespace pith::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");

std::string header(uint64_t rows, uint64_t cols) {
  constexpr size_t kPrefix = 10;  // magic, version, length
  std::string text = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  text.append(63 - (kPrefix + text.size()) % 64, ' ');
  text += '\n';
  const size_t n = text.size();
  return std::string("\x93NUMPY\x01\x00", 8) + char(n & 255) + char(n >> 8) + text;
}

}  // namespace

NpyWriter::NpyWriter(const std::string& path, uint64_t rows, uint64_t cols) : file_(path), left_(rows * cols) {
  const std::string first = header(rows, cols);
  file_.write(first.data(), first.size());
}

void NpyWriter::write(std::span<const float> values) {
  if (values.size() > left_) throw std::logic_error("npy: more values than its shape has");
  file_.write(values.data(), values.size_bytes());
  left_ -= values.size();
}

void NpyWriter::commit() {
  if (left_ != 0) throw std::logic_error("npy: fewer values than its shape has");
  file_.commit();
}

}  // namespace pith::cli
