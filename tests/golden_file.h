// The files of tests/golden (made by tests/golden/make_golden.py).
#ifndef PITH_TESTS_GOLDEN_FILE_H
#define PITH_TESTS_GOLDEN_FILE_H

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "raw_gguf.h"

namespace pith::test {

inline Bytes read_golden(const std::string& name) {
  std::ifstream in(std::string(PITH_SOURCE_DIR "/tests/golden/") + name, std::ios::binary);
  REQUIRE(in.good());
  return Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

}  // namespace pith::test

#endif
