// The same bits on every machine: the hash of the logits of a small packed model is part of the repository, and the PyTorch
// goldens hold the float32 runtime to the trainer's own forward pass.
#include <doctest/doctest.h>

#include <cstdlib>
#include <sstream>

#include "dispatch.h"
#include "golden_file.h"
#include "golden_hashes.h"
#include "quick.h"
#include "runtime.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// FNV-1a over the bytes of all logits, as the command prints it.
class LogitsHash {
 public:
  void add(std::span<const float> logits) {
    for (const float value : logits) {
      uint8_t bytes[4];
      std::memcpy(bytes, &value, 4);
      for (const uint8_t byte : bytes) hash_ = (hash_ ^ byte) * 0x100000001b3ull;
    }
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325ull;
};

uint64_t hash_after(const Model& model, const std::vector<int32_t>& tokens, const pith_session_options& options) {
  Session session(model, options);
  LogitsHash hash;
  for (const int32_t token : tokens) {
    session.eval(token);
    hash.add(session.logits());
  }
  return hash.value();
}

std::vector<std::string> usable_tiers() {
  std::vector<std::string> out;
  int usable = 0;
  for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) {
    if (usable) out.push_back(name);
  }
  return out;
}

std::vector<int32_t> golden_tokens(int32_t n, int32_t vocab_size) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < n; ++i) tokens.push_back(PITH_GOLDEN_TOKEN(i, vocab_size));
  return tokens;
}

// f(options) of a ring that wraps, for every tier.
template <typename F>
void for_each_golden_session(const F& f) {
  for (const std::string& tier : usable_tiers()) {
    pith_session_options options = session_options();
    options.tier = tier.c_str();
    options.capacity = 80;
    options.n_keep = 3;
    options.chunk = 50;
    options.max_threads = 2;
    CAPTURE(tier);
    f(options);
  }
}

uint64_t hash_after_prompt(const Model& model, const std::vector<int32_t>& tokens,
                           const pith_session_options& options) {
  Session session(model, options);
  LogitsHash hash;
  session.eval(std::span(tokens).first(120));
  hash.add(session.logits());
  for (size_t i = 120; i < tokens.size(); ++i) {
    session.eval(tokens[i]);
    hash.add(session.logits());
  }
  return hash.value();
}

}  // namespace

TEST_CASE("the golden hash of the logits, on every tier of this machine") {
  const Runtime runtime(read_golden("tiny.q4.gguf"));
  for_each_golden_session([&](const pith_session_options& options) {
    CHECK(hash_after(runtime.model, golden_tokens(100, 97 * 21), options) == PITH_TINY_HASH);
  });
}

TEST_CASE("the golden hash of the logits after a prompt, on every tier of this machine") {
  const Runtime runtime(read_golden("tiny.q4.gguf"));
  for_each_golden_session([&](const pith_session_options& options) {
    CHECK(hash_after_prompt(runtime.model, golden_tokens(124, 97 * 21), options) == PITH_TINY_PROMPT_HASH);
  });
}

// tests/golden/minima.q4m.gguf: the same two with a minimum per block, of a vocabulary of 300.
constexpr uint64_t kMinimaHash = 14806125165600566279ull, kMinimaPromptHash = 3561409954464004838ull;

TEST_CASE("the golden hashes of weights with minima, on every tier of this machine") {
  const Runtime runtime(read_golden("minima.q4m.gguf"));
  for_each_golden_session([&](const pith_session_options& options) {
    CHECK(hash_after(runtime.model, golden_tokens(100, 300), options) == kMinimaHash);
    CHECK(hash_after_prompt(runtime.model, golden_tokens(124, 300), options) == kMinimaPromptHash);
  });
}

// tests/golden/experts.q4.gguf: the same two with 8 experts in one of two layers.
constexpr uint64_t kExpertsHash = 8231652147161371409ull, kExpertsPromptHash = 14832840475990461738ull;

TEST_CASE("the golden hashes of a mixture of experts, on every tier of this machine") {
  const Runtime runtime(read_golden("experts.q4.gguf"));
  for_each_golden_session([&](const pith_session_options& options) {
    CHECK(hash_after(runtime.model, golden_tokens(100, 300), options) == kExpertsHash);
    CHECK(hash_after_prompt(runtime.model, golden_tokens(124, 300), options) == kExpertsPromptHash);
  });
}

// 256 tokens of the model inside the command. PITH_QUICK, for slow builds and emulated CPUs, leaves the best tier and 8 threads.
TEST_CASE("the golden hash of the built-in model, every tier and 1 to 8 threads") {
  const Bytes golden = read_golden("builtin.hash");
  uint64_t expected = 0;
  std::istringstream(std::string(golden.begin(), golden.end())) >> std::hex >> expected;
  REQUIRE(expected != 0);
  const Runtime runtime(read_golden("../../tools/model/m.q4.gguf"));
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 256; ++i) tokens.push_back((i * i * 7 + i / 3) % 97 * 21);
  for (const std::string& tier : usable_tiers()) {
    const bool is_best = tier == usable_tiers().front();
    for (const uint32_t threads : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u}) {
      const bool is_slow = tier == "scalar" || is_quick();
      if ((is_quick() && !is_best) || (is_slow && threads != 8 && (is_quick() || threads != 1))) continue;
      pith_session_options options = session_options();
      options.tier = tier.c_str();
      options.max_threads = threads;
      CAPTURE(tier);
      CAPTURE(threads);
      CHECK(hash_after(runtime.model, tokens, options) == expected);
    }
  }
}

TEST_CASE("no tier borrows another's products") {
  std::vector<decltype(Kernels::matvec_q4_i8)> products;
  for (size_t i = 0; i < tier_count(); ++i) products.push_back(tier_at(i).kernels->matvec_q4_i8);
  std::sort(products.begin(), products.end());
  CHECK(std::adjacent_find(products.begin(), products.end()) == products.end());
}

// A script that chooses the CPU says what it must find: names, best first, separated by commas.
TEST_CASE("the tiers of this CPU are those that PITH_EXPECT_TIERS names") {
  const char* wanted = std::getenv("PITH_EXPECT_TIERS");
  if (wanted == nullptr) return;
  std::string found;
  for (const std::string& tier : usable_tiers()) found += (found.empty() ? "" : ",") + tier;
  CHECK(found == wanted);
}
