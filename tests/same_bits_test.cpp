// The same bits on every machine: the hash of the logits of a small packed model is part of the repository, and the PyTorch
// goldens hold the float32 runtime to the trainer's own forward pass.
#include <doctest/doctest.h>

#include "golden_file.h"
#include "runtime.h"

using namespace pith;
using namespace pith::test;

namespace {

uint64_t hash_of(const std::vector<std::vector<float>>& logits) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const std::vector<float>& row : logits) {
    for (const float value : row) {
      uint8_t bytes[4];
      std::memcpy(bytes, &value, 4);
      for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3ull;
    }
  }
  return hash;
}

// Of tests/golden/tiny.q4.gguf over 100 tokens; a change of this number is a change of every user's results.
constexpr uint64_t kTinyHash = 1540915264010502620ull;

}  // namespace

TEST_CASE("the golden hash of the logits, on every tier of this machine") {
  const Runtime runtime(read_golden("tiny.q4.gguf"));
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 100; ++i) tokens.push_back((i * i * 7 + i / 3) % 97 * 21);
  int usable = 0;
  for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) {
    if (!usable) continue;
    pith_session_options options = session_options();
    options.tier = name;
    options.capacity = 80;  // wraps
    options.n_keep = 3;
    options.max_threads = 2;
    CAPTURE(std::string(name));
    CHECK(hash_of(all_logits(runtime.model, tokens, options)) == kTinyHash);
  }
}
