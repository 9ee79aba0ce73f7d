// The control of the preset `valgrind`: a branch on memory of the tests' own allocator that nobody has written. It must be found.
#include <cstdio>

#include "raw_gguf.h"

int main() {
  const pith::test::Block memory = pith::test::block_of(64);
  std::puts(memory.get()[17] > 3 ? "more" : "less");
}
