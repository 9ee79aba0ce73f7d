// The ring of cached tokens: what a full one means (against the float64 oracle), what it forgets, and that neither chunks,
// threads nor tiers show when it wraps.
#include <doctest/doctest.h>

#include "quick.h"
#include "random_model.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// The float32 runtime against the oracle; model_test.cpp derives it.
constexpr double kFloatBound = 2e-5;

pith_session_options ring_options(uint32_t capacity, uint32_t n_keep, uint32_t precision = PITH_PRECISION_F32) {
  pith_session_options options = session_options();
  options.cache = options.activations = precision;
  options.capacity = capacity;
  options.n_keep = n_keep;
  return options;
}

// Otherwise both options run the same form of attention.
bool has_two_forms(const Config& config) {
  return config.attention == AttentionKind::latent && config.gate != Gate::up;
}

std::vector<float> last_logits(const Model& model, std::span<const int32_t> tokens, size_t chunk,
                               const pith_session_options& options) {
  Session session(model, options);
  for (size_t i = 0; i < tokens.size(); i += chunk) session.eval(tokens.subspan(i, std::min(chunk, tokens.size() - i)));
  return {session.logits().begin(), session.logits().end()};
}

}  // namespace

TEST_CASE("a full ring equals the oracle's mask and distances, all variants") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    const RandomModel c(spec, seed);
    const std::vector<int32_t> tokens = c.random_ids(128);
    const Runtime runtime(c.packed("f32"));
    const ReferenceModel oracle(c.floats);
    double worst = 0;
    for (const uint32_t n_keep : {0u, 1u, 4u}) {
      CAPTURE(n_keep);
      const auto got = all_logits(runtime.model, tokens, ring_options(32, n_keep));
      const double error = worst_error(got, oracle.ring_logits(tokens, 32, n_keep));
      if (!is_sure(oracle)) continue;
      CHECK(error < kFloatBound);
      worst = std::max(worst, error);
      // Positive control: another number of pinned tokens is another result.
      if (n_keep == 4) CHECK(worst_error(got, oracle.ring_logits(tokens, 32, 3)) > 1e-3);
    }
    MESSAGE(spec.name, ": ", worst);
  }
}

TEST_CASE("rings of every awkward size equal the oracle") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  struct Shape {
    uint32_t capacity, n_keep;
  };
  // One slot; all but one slot pinned; just above a tile of 64 slots; pinned tokens that fill a tile and a part.
  const Shape shapes[] = {{1, 0}, {2, 1}, {3, 0}, {64, 63}, {65, 0}, {65, 64}, {100, 70}};
  Share share;
  for (const SynthSpec& spec : {gated_spec("egmla", GateNorm::layer), small_spec("mla")}) {
    CAPTURE(spec.name);
    const RandomModel c(spec, seed);
    const Runtime runtime(c.packed("f32"));
    const ReferenceModel oracle(c.floats);
    for (const Shape shape : shapes) {
      if (share.leaves_out()) continue;
      CAPTURE(shape.capacity);
      CAPTURE(shape.n_keep);
      const std::vector<int32_t> tokens = c.random_ids(2 * shape.capacity + 20);
      const auto got = all_logits(runtime.model, tokens, ring_options(shape.capacity, shape.n_keep));
      CHECK(worst_error(got, oracle.ring_logits(tokens, shape.capacity, shape.n_keep)) < kFloatBound);
    }
  }
}

TEST_CASE("a wrapping ring gives the same bits for every chunking, thread count and tier") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    const RandomModel c(spec, seed);
    for (const uint32_t precision : {PITH_PRECISION_I8, PITH_PRECISION_F32}) {
      CAPTURE(precision);
      const Runtime runtime(c.packed(precision == PITH_PRECISION_I8 ? "q4" : "f32"));
      const std::vector<int32_t> tokens = c.random_ids(140);  // wraps twice
      for (const uint32_t attention : {PITH_ATTENTION_DEFAULT, PITH_ATTENTION_MATERIALISE}) {
        CAPTURE(attention);
        if (attention == PITH_ATTENTION_MATERIALISE && !has_two_forms(spec.config)) continue;
        pith_session_options options = ring_options(66, 5, precision);  // more than a tile of 64 slots
        options.attention = attention;
        options.chunk = attention == PITH_ATTENTION_DEFAULT ? 1 : 30;  // tests/prefill_test.cpp has more
        const std::vector<float> expected = last_logits(runtime.model, tokens, tokens.size(), options);
        for (const size_t chunk : {1, 7, 64}) {
          CAPTURE(chunk);
          CHECK(same_bits(expected, last_logits(runtime.model, tokens, chunk, options)));
        }
        for (uint32_t threads = 3; threads <= 4 && precision == PITH_PRECISION_I8; ++threads) {
          CAPTURE(threads);
          options.max_threads = threads;
          CHECK(same_bits(expected, last_logits(runtime.model, tokens, 50, options)));
        }
        int usable = 0;
        for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) {
          if (!usable) continue;
          CAPTURE(std::string(name));
          options.tier = name;
          CHECK(same_bits(expected, last_logits(runtime.model, tokens, 13, options)));
        }
      }
    }
  }
}

// Through L layers a token sees L (capacity - 1) tokens back and not one further. Gated models are held to the last bit where they
// recompute every token: grouped attention reads a token from a row or from its latent, and which of them have rows follows from all
// that came before. The two are equal in real arithmetic, so that its float32 forgets to within what both owe the oracle.
TEST_CASE("what left the ring is forgotten to the last bit, what is pinned is not") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  constexpr uint32_t kCapacity = 9;
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    const RandomModel c(spec, seed);
    const Runtime runtime(c.packed("q8"));
    const size_t reach = size_t(spec.config.n_layers) * (kCapacity - 1), n_other = 5;
    std::vector<int32_t> one = c.random_ids(n_other + reach + 1), other = one;  // they differ in the first n_other
    for (size_t i = 0; i < n_other; ++i) other[i] = (one[i] + 1) % spec.config.vocab_size;
    const auto differs = [&](size_t n_tokens, uint32_t n_keep) {
      pith_session_options options = ring_options(kCapacity, n_keep, PITH_PRECISION_I8);
      if (spec.config.gate == Gate::up) options.attention = PITH_ATTENTION_MATERIALISE;
      return !same_bits(last_logits(runtime.model, std::span(one).first(n_tokens), 4, options),
                        last_logits(runtime.model, std::span(other).first(n_tokens), 4, options));
    };
    CHECK(!differs(n_other + reach + 1, 0));
    CHECK(differs(n_other + reach, 0));  // one token earlier
    CHECK(differs(n_other + reach + 1, 1));
    if (spec.config.gate != Gate::up) continue;
    const auto distance = [&](size_t n_tokens) {
      const auto logits = [&](const std::vector<int32_t>& tokens) {
        return last_logits(runtime.model, std::span(tokens).first(n_tokens), 4, ring_options(kCapacity, 0));
      };
      return relative_error(logits(other), as_vector(logits(one)));
    };
    CHECK(distance(n_other + reach + 1) < 2 * kFloatBound);
    CHECK(distance(n_other + 2) > 1e-3);  // positive control: within the window
  }
}

// The angles of two cached tokens differ by their distance alone, so what was forgotten may be as long as it will.
TEST_CASE("logits do not depend on the position once the beginning is forgotten") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  constexpr uint32_t kCapacity = 9;
  for (const SynthSpec& spec : some_variants()) {
    if (!is_continuous(spec)) continue;
    CAPTURE(spec.name);
    const RandomModel c(spec, seed);
    const Runtime runtime(c.packed("f32"));
    const size_t reach = size_t(spec.config.n_layers) * (kCapacity - 1);
    const std::vector<int32_t> tokens = c.random_ids(1001 + reach);
    const std::span<const int32_t> all(tokens), tail = all.last(reach + 1);
    const std::vector<float> early = last_logits(runtime.model, tail, 64, ring_options(kCapacity, 0));
    const std::vector<float> late = last_logits(runtime.model, all, 64, ring_options(kCapacity, 0));
    CHECK(relative_error(late, as_vector(early)) < 2 * kFloatBound);  // either is that near the oracle
  }
}
