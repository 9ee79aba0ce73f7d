// Prompts computed chunk by chunk: where keys and values are recomputed or cached as they are, to the bits of decoding
// token by token, whatever the chunks; otherwise as close as the two forms of attention are.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "agreement.h"
#include "golden_file.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::test;

namespace {

// The logits after each of several evaluations, which together take all tokens.
struct Cut {
  std::vector<size_t> ends;
  explicit Cut(size_t n, std::mt19937_64* random) {
    for (size_t at = 0; at < n;) {
      const size_t most[] = {1, 3, 9, 40, 150};
      at = std::min(n, at + 1 + (*random)() % most[(*random)() % std::size(most)]);
      ends.push_back(at);
    }
  }
};

std::vector<std::vector<float>> logits_at_ends(Session* session, const std::vector<int32_t>& tokens, const Cut& cut) {
  std::vector<std::vector<float>> out;
  size_t first = 0;
  for (const size_t end : cut.ends) {
    session->eval(std::span(tokens).subspan(first, end - first));
    out.emplace_back(session->logits().begin(), session->logits().end());
    first = end;
  }
  return out;
}

}  // namespace

TEST_CASE("a prompt in chunks gives the bits of its tokens one by one: every variant, precision, ring") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  struct {
    const char* type;
    uint32_t cache, activations;
  } const precisions[] = {{"q4", PITH_PRECISION_I8, PITH_PRECISION_I8},
                          {"q8", PITH_PRECISION_I8, PITH_PRECISION_F32},
                          {"f32", PITH_PRECISION_F32, PITH_PRECISION_F32},
                          {"f32", PITH_PRECISION_I8, PITH_PRECISION_I8},
                          {"q4", PITH_PRECISION_F32, PITH_PRECISION_I8}};
  const struct {
    uint32_t capacity, n_keep;
  } rings[] = {{400, 0}, {200, 0}, {210, 70}, {65, 1}};
  for (const SynthSpec& spec : all_variants()) {
    CAPTURE(spec.name);
    for (const auto& p : precisions) {
      const Runtime runtime = runtime_of(spec, p.type);
      for (const auto& ring : rings) {
        if (random() % 3 != 0) continue;  // one third of a cross product, another one in every run
        const std::vector<int32_t> tokens = random_tokens(330, spec.config.vocab_size, random());
        pith_session_options options = session_options();
        options.capacity = ring.capacity;
        options.n_keep = ring.n_keep;
        options.cache = p.cache;
        options.activations = p.activations;
        options.attention = PITH_ATTENTION_MATERIALISE;
        options.chunk = 1;
        CAPTURE(p.type);
        CAPTURE(p.cache);
        CAPTURE(p.activations);
        CAPTURE(ring.capacity);
        CAPTURE(ring.n_keep);
        const std::vector<std::vector<float>> expected = all_logits(runtime.model, tokens, options);
        const uint32_t chunks[] = {2, 10, 64, 100, 0};
        options.chunk = chunks[random() % std::size(chunks)];
        options.max_threads = 1 + uint32_t(random() % 3);
        CAPTURE(options.chunk);
        CAPTURE(options.max_threads);
        const Cut cut(tokens.size(), &random);
        Session session(runtime.model, options);
        const std::vector<std::vector<float>> found = logits_at_ends(&session, tokens, cut);
        size_t n_same = 0;
        for (size_t i = 0; i < found.size(); ++i) n_same += same_bits(found[i], expected[cut.ends[i] - 1]);
        CHECK(n_same == found.size());
      }
    }
  }
}
