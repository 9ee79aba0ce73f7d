// The files of tests/golden (made by tests/golden/make_golden.py).
#ifndef PITH_TESTS_GOLDEN_FILE_H
#define PITH_TESTS_GOLDEN_FILE_H

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "raw_gguf.h"

namespace pith::test {

using namespace internal;

// PITH_SOURCE names the repository where it is not where it was built.
inline Bytes read_golden(const std::string& name) {
  const char* elsewhere = std::getenv("PITH_SOURCE");
  const std::string source = elsewhere != nullptr ? elsewhere : PITH_SOURCE_DIR;
  std::ifstream in(source + "/tests/golden/" + name, std::ios::binary);
  REQUIRE(in.good());
  return Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

}  // namespace pith::test

#endif
