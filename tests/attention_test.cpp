// The two forms of latent attention: absorbed (W_UK inside the query, scores on the latents) and materialised (keys and
// values recomputed). They are equal in real arithmetic.
#include <doctest/doctest.h>

#include <algorithm>

#include "random_model.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

bool has_two_forms(const SynthSpec& spec) {
  return spec.config.attention == AttentionKind::latent && spec.config.gate != Gate::up;
}

}  // namespace

// A score is q^T W c, with d_n r products either way. In one order (q^T (W c)) a product passes r + d_n / 16 + 4 roundings,
// in the other d_n + r / 16 + 4: the two differ by at most (d_n + r + 12) 2^-24 S, S the sum of the products' magnitudes,
// which for the unit variances of these models is near 0.5 d_n sqrt(r) / sqrt(d_n + d_r), 4 to 10 here. So scores differ by
// at most 1e-5 to 6e-5, probabilities by twice that; with errors of random sign by the root of the number of roundings
// instead: 3e-6. Values go the same way. Three layers, averaged over the heads and added to a residual of the same size,
// leave about 1e-5. That is inside what each form owes the oracle (2e-5), whose double is the bound here.
TEST_CASE("absorbed attention equals materialised attention in float32") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  size_t n_differ = 0, n_compared = 0;
  for (const SynthSpec& spec : some_variants()) {
    if (!has_two_forms(spec)) continue;
    CAPTURE(spec.name);
    ++n_compared;
    const Case c(spec, seed, 140);  // more than two tiles of 64 slots
    const Runtime runtime(c.packed("f32"));
    pith_session_options options = exact_options();
    options.capacity = 100;  // wraps
    options.n_keep = 3;
    const auto absorbed = all_logits(runtime.model, c.tokens, options);
    options.attention = PITH_ATTENTION_MATERIALISE;
    const auto materialised = all_logits(runtime.model, c.tokens, options);
    double worst = 0;
    for (size_t t = 0; t < absorbed.size(); ++t) {
      const Vector a = as_vector(absorbed[t]), m = as_vector(materialised[t]);
      worst = std::max(worst, (a - m).norm() / m.norm());
    }
    CHECK(worst < 4e-5);
    n_differ += worst > 0;
    MESSAGE(spec.name, ": ", worst);
  }
  CHECK(n_differ >= std::min<size_t>(n_compared, 3));  // positive control: the option chooses another computation
}

// In int8 the forms round different intermediate values (the sums of latents; the keys), so they agree as two 8-bit
// computations do. Measured over 12 seeds: KL 1e-5 to 1e-3 nats, the same best token at 91 to 100 % of the positions.
TEST_CASE("absorbed and materialised attention in int8: divergence and agreement") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const SynthSpec& spec : some_variants()) {
    if (!has_two_forms(spec) || !is_continuous(spec)) continue;
    CAPTURE(spec.name);
    const Case c(spec, seed, 140);  // more than two tiles of 64 slots
    const Runtime runtime(c.packed("q8"));
    pith_session_options options = session_options();
    const auto absorbed = all_logits(runtime.model, c.tokens, options);
    options.attention = PITH_ATTENTION_MATERIALISE;
    const Agreement found = agreement(all_logits(runtime.model, c.tokens, options), absorbed);
    MESSAGE(spec.name, ": mean KL ", found.kl_mean, ", top-1 agreement ", found.top1);
    CHECK(found.kl_mean < 0.02);
    CHECK(found.top1 > 0.7);
  }
}

// 8-bit weights, activations and cache against float64: the direction of the logits, and what a sampler would notice.
// Measured over 12 seeds: cosine 0.9975 to 0.9999, KL 1e-5 to 3e-3 nats; random weights have no slack.
TEST_CASE("int8 keeps the distribution of the oracle, all variants") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const SynthSpec& spec : some_variants()) {
    if (!is_continuous(spec)) continue;
    CAPTURE(spec.name);
    const Case c(spec, seed, 140);  // more than two tiles of 64 slots
    const Matrix oracle = ReferenceModel(c.floats).logits(c.tokens);
    const auto got = all_logits(Runtime(c.packed("q8")).model, c.tokens, session_options());
    double cosine = 0, kl = 0;
    for (size_t t = 0; t < got.size(); ++t) {
      const Vector a = as_vector(got[t]), b = oracle.row(int64_t(t)).transpose();
      cosine += a.dot(b) / (a.norm() * b.norm()) / double(got.size());
      kl += divergence(b, a) / double(got.size());
    }
    MESSAGE(spec.name, ": mean cosine ", cosine, ", mean KL ", kl);
    CHECK(cosine > 0.99);
    CHECK(kl < 0.02);
  }
}

// Sixteen heads fill their lanes: nothing lies between what belongs to the last head and what comes next in memory. A loop that goes one
// head too far, which with fewer heads meets lanes that nobody reads, is seen here: by its results, or by AddressSanitizer (preset asan).
TEST_CASE(
    "as many heads as there are lanes: every form of attention equals the oracle, and in int8 keeps its distribution") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::vector<SynthSpec> specs = {small_spec("mla"),
                                  gated_spec("egmla", GateNorm::layer),
                                  gated_spec("latent gate", GateNorm::rms, Gate::latent),
                                  small_spec("mla, r = 96, scales"),
                                  small_spec("mha"),
                                  small_spec("mha, grouped")};
  for (SynthSpec& spec : specs) spec.config.n_heads = spec.config.n_kv_heads = 16;
  specs[3].config.latent_width = 96;  // scales of blocks, and of queries
  set_scaling(&specs[3].config, RopeScaling::yarn, 4, 64);
  set_mha(&specs[4].config, 16, 16);
  set_mha(&specs[5].config, 16, 4);
  for (const SynthSpec& spec : specs) {
    CAPTURE(spec.name);
    const Case c(spec, seed, 70);  // more than a tile of 64 slots
    const Matrix oracle = ReferenceModel(c.floats).logits(c.tokens);
    const Runtime floats(c.packed("f32")), integers(c.packed("q8"));
    // As planned, which with a pool reads rows; without one, where groups of one id are absorbed; and materialised.
    for (const auto& [attention, pool_bytes] : {std::pair<uint32_t, uint64_t>(PITH_ATTENTION_DEFAULT, 0),
                                                {PITH_ATTENTION_DEFAULT, PITH_POOL_NONE},
                                                {PITH_ATTENTION_MATERIALISE, 0}}) {
      CAPTURE(attention);
      CAPTURE(pool_bytes);
      pith_session_options exact = exact_options(), rounded = session_options();
      exact.attention = rounded.attention = attention;
      exact.pool_bytes = rounded.pool_bytes = pool_bytes;
      exact.n_keep = rounded.n_keep = 3;
      CHECK(worst_error(all_logits(floats.model, c.tokens, exact), oracle) < 2e-5);
      const auto steps = all_logits(integers.model, c.tokens, rounded);
      Session prompt(floats.model, exact), rounded_prompt(integers.model, rounded);
      prompt.eval(c.tokens);
      rounded_prompt.eval(c.tokens);
      const Vector last = oracle.row(oracle.rows() - 1).transpose();
      CHECK(relative_error({prompt.logits().begin(), prompt.logits().end()}, last) < 2e-5);
      CHECK(divergence(last, as_vector({rounded_prompt.logits().begin(), rounded_prompt.logits().end()})) < 0.1);
      double kl = 0;
      for (size_t t = 0; t < steps.size(); ++t)
        kl += divergence(oracle.row(int64_t(t)).transpose(), as_vector(steps[t])) / double(steps.size());
      MESSAGE(spec.name, ": mean KL of int8 ", kl);
      CHECK(kl < 0.02);
    }
  }
}
