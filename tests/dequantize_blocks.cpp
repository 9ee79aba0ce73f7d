// dequantize_blocks TYPE N: blocks of GGUF's type of that number on stdin, N weights as float32 on stdout; 2 where they do not
// go together. For tests/python/test_gguf_blocks.py.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "gguf_blocks.h"

using namespace pith::quantize;

namespace {

std::vector<uint8_t> read_all() {
  std::vector<uint8_t> bytes;
  uint8_t buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, stdin)) > 0;) bytes.insert(bytes.end(), buffer, buffer + n);
  return bytes;
}

// Type, number of bytes and of weights go together.
bool fits(TensorType type, int64_t n, size_t bytes) {
  const int64_t block = int64_t(block_elements(type));
  return holds_weights(type) && n > 0 && n % block == 0 && uint64_t(n / block) * block_bytes(type) == bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const TensorType type = TensorType(std::strtoul(argv[1], nullptr, 10));
  const int64_t n = std::strtoll(argv[2], nullptr, 10);
  const std::vector<uint8_t> blocks = read_all();
  if (!fits(type, n, blocks.size())) return 2;
  std::vector<float> out(static_cast<size_t>(n));
  dequantize_blocks(type, blocks.data(), n, out.data());
  return std::fwrite(out.data(), sizeof(float), out.size(), stdout) == out.size() ? 0 : 1;
}
