// Grouped attention: the same function as the oracle and as recomputed keys and values, whatever the pool holds; and what of
// it is read from where.
#include <doctest/doctest.h>

#include <algorithm>
#include <thread>

#include "golden_file.h"
#include "quick.h"
#include "random_model.h"
#include "session/session.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

std::vector<SynthSpec> gated_variants() {
  std::vector<SynthSpec> out;
  Share share;
  for (const SynthSpec& spec : all_variants()) {
    if (spec.config.gate == Gate::up && !share.leaves_out()) out.push_back(spec);
  }
  // One latent scale and two 32-blocks of it, as the paper's shape has; two 32-blocks of key channels.
  SynthSpec wide = gated_spec("egmla, r = 64, d_n = 64", GateNorm::layer);
  wide.config.latent_width = wide.config.content_width = 64;
  wide.config.value_width = 32;
  out.push_back(wide);
  return out;
}

// Bytes of n rows in the pool of a session, as the option pool_bytes says it.
uint64_t rows(const Model& model, pith_session_options options, uint64_t n) {
  pith_session_plan plan{};
  plan.struct_size = sizeof plan;
  options.capacity = 1 << 20;
  options.n_keep = 0;
  options.pool_bytes = 0;  // rows for 3 of 8 tokens, and 64
  REQUIRE(int(pith_session_get_plan(model.get(), &options, &plan, nullptr)) == int(PITH_OK));
  REQUIRE(plan.pool_bytes > 0);
  return n == 0 ? PITH_POOL_NONE : plan.pool_bytes / ((uint64_t(3) << 17) + 64) * n;
}

double worst_difference(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  double worst = 0;
  for (size_t t = 0; t < a.size(); ++t) {
    const Vector x = as_vector(a[t]), y = as_vector(b[t]);
    worst = std::max(worst, (x - y).norm() / y.norm());
  }
  return worst;
}

}  // namespace

// The identity is exact; attention_test.cpp derives the float32 bound for its two orders of multiplication, of which either is
// within 2e-5 of the oracle.
TEST_CASE("grouped attention equals the oracle and materialised attention in float32, every norm, any pool") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const SynthSpec& spec : gated_variants()) {
    CAPTURE(spec.name);
    const Case c(spec, seed, 150);
    const Runtime runtime(c.packed("f32"));
    pith_session_options options = exact_options();
    options.capacity = 100;  // wraps
    options.n_keep = 3;
    const Matrix oracle = ReferenceModel(c.floats).ring_logits(c.tokens, 100, 3);
    std::vector<std::vector<float>> first;
    double worst = 0;
    size_t n_differ = 0;
    for (const uint64_t n_rows : {0, 1, 7, 30, 60, 100}) {
      CAPTURE(n_rows);
      options.pool_bytes = rows(runtime.model, options, n_rows);
      const auto grouped = all_logits(runtime.model, c.tokens, options);
      for (size_t t = 0; t < grouped.size(); ++t) {
        const Vector exact = oracle.row(int64_t(t)).transpose();
        worst = std::max(worst, (as_vector(grouped[t]) - exact).norm() / exact.norm());
      }
      if (first.empty()) first = grouped;
      n_differ += !same_bits(grouped.back(), first.back());
    }
    CHECK(worst < 2e-5);
    CHECK(n_differ >= 3);  // positive control: the pool's size chooses another computation
    options.attention = PITH_ATTENTION_MATERIALISE;
    CHECK(worst_difference(first, all_logits(runtime.model, c.tokens, options)) < 4e-5);
    MESSAGE(spec.name, ": ", worst);
  }
}

// With int8 cache and activations the forms round other intermediate values, each to 8 bits.
TEST_CASE("grouped and materialised attention in int8: divergence and agreement") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const SynthSpec& spec : gated_variants()) {
    CAPTURE(spec.name);
    const Case c(spec, seed, 150);
    for (const char* type : {"q4", "q8", "f32"}) {
      if (type[0] != 'q' && is_quick()) continue;
      CAPTURE(std::string(type));
      const Runtime runtime(c.packed(type));
      pith_session_options options = session_options();
      options.capacity = 100;
      options.n_keep = 3;
      options.attention = PITH_ATTENTION_MATERIALISE;
      const auto materialised = all_logits(runtime.model, c.tokens, options);
      options.attention = PITH_ATTENTION_DEFAULT;
      for (const uint64_t n_rows : {0, 20, 100}) {
        CAPTURE(n_rows);
        options.pool_bytes = rows(runtime.model, options, n_rows);
        const Agreement found = agreement(materialised, all_logits(runtime.model, c.tokens, options));
        CHECK(found.kl_mean < 0.02);
        CHECK(found.top1 > 0.7);
        if (n_rows == 20)
          MESSAGE(spec.name, ", ", std::string(type), ": mean KL ", found.kl_mean, ", top-1 agreement ", found.top1);
      }
    }
  }
}

TEST_CASE("a pool with a row for every token reads what materialised attention recomputes, to the last bit of a row") {
  // Rows are the same; the blocks are not, so that sums are rounded in another order. With activations in float32, for
  // int8 ones have the weights of materialised rows rounded too.
  const Case c(gated_spec("egmla", GateNorm::layer), 1, 60);
  const Runtime runtime(c.packed("q8"));
  pith_session_options options = session_options();
  options.capacity = 64;  // one tile, one block
  options.activations = PITH_PRECISION_F32;
  options.pool_bytes = uint64_t(1) << 40;
  const auto rows_only = all_logits(runtime.model, c.tokens, options);
  options.attention = PITH_ATTENTION_MATERIALISE;
  CHECK(worst_difference(rows_only, all_logits(runtime.model, c.tokens, options)) < 2e-3);
}

TEST_CASE(
    "gates that rows hold and gates that are recomputed are the same bits: materialised attention does not see the "
    "pool") {
  for (const SynthSpec& spec : gated_variants()) {
    CAPTURE(spec.name);
    const Case c(spec, 2, 120);
    const Runtime runtime(c.packed("q4"));
    pith_session_options options = session_options();
    options.capacity = 70;
    options.attention = PITH_ATTENTION_MATERIALISE;
    std::vector<float> expected;
    for (const uint64_t n_rows : {0, 5, 70}) {
      options.pool_bytes = rows(runtime.model, options, n_rows);
      const std::vector<float> last = all_logits(runtime.model, c.tokens, options).back();
      if (expected.empty()) expected = last;
      CHECK(same_bits(expected, last));
    }
  }
}

TEST_CASE("all ids distinct, all ids equal, two in turn: same bits for every tier and thread count") {
  const SynthSpec spec = gated_spec("egmla", GateNorm::layer);
  const Case c(spec, 3, 1);
  const Runtime runtime(c.packed("q4"));
  for (const int32_t n_ids : {1, 2, 300}) {
    CAPTURE(n_ids);
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 260; ++i) tokens.push_back(i % n_ids);
    for (const uint64_t n_rows : {0, 9, 200}) {
      CAPTURE(n_rows);
      pith_session_options options = session_options();
      options.capacity = 200;
      options.n_keep = 2;
      options.pool_bytes = rows(runtime.model, options, n_rows);
      std::vector<float> expected;
      int usable = 0;
      for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) {
        if (!usable) continue;
        CAPTURE(std::string(name));
        options.tier = name;
        for (const uint32_t threads : {1u, 3u}) {
          options.max_threads = threads;
          Session session(runtime.model, options);
          session.eval(tokens);
          if (expected.empty()) expected.assign(session.logits().begin(), session.logits().end());
          CHECK(same_bits(expected, session.logits()));
        }
      }
    }
  }
}

TEST_CASE("the plan counts the pool, and rounds it down to whole rows") {
  const Case c(gated_spec("egmla", GateNorm::layer), 4, 1);
  const Runtime runtime(c.packed("q4"));
  pith_session_options options = session_options();
  options.capacity = 100;
  const uint64_t row = rows(runtime.model, options, 1);
  const auto plan_of = [&](uint64_t bytes) {
    pith_session_plan plan{};
    plan.struct_size = sizeof plan;
    options.pool_bytes = bytes;
    REQUIRE(int(pith_session_get_plan(runtime.model.get(), &options, &plan, nullptr)) == int(PITH_OK));
    return plan;
  };
  CHECK(plan_of(PITH_POOL_NONE).pool_bytes == 0);
  CHECK(plan_of(row - 1).pool_bytes == 0);
  CHECK(plan_of(5 * row + 1).pool_bytes == 5 * row);
  CHECK(plan_of(uint64_t(1) << 50).pool_bytes == 100 * row);  // never more than one row for each token
  CHECK(plan_of(0).pool_bytes == 100 * row);                  // 37 + 64, but no more than that
  CHECK(plan_of(5 * row).session_bytes > plan_of(PITH_POOL_NONE).session_bytes + 5 * row - 64);
}

// One text of the built-in model: what a user loses by grouping, and by the int8 cache. PITH_QUICK, for slow builds, leaves the
// default pool and a quarter of the text: a sample, whose mean KL may be twice as large, and of which one token in a hundred
// means nothing.
TEST_CASE("the built-in model on 512 tokens of text: grouped against materialised, int8 cache against float32") {
  const Runtime runtime(read_golden("../../tools/model/m.q4.gguf"));
  const Tokenizer tokenizer(runtime.model);
  const Bytes text = read_golden("tale.txt");  // the beginning of tales.val: public-domain books
  std::vector<int32_t> tokens = tokenizer.encode({reinterpret_cast<const char*>(text.data()), text.size()});
  REQUIRE(tokens.size() >= 513);
  tokens.resize(is_quick() ? 129 : 513);
  const auto perplexity = [&](const std::vector<std::vector<float>>& logits) {
    double total = 0;
    for (size_t t = 0; t + 1 < tokens.size(); ++t) {
      const Vector x = as_vector(logits[t]);
      const double top = x.maxCoeff();
      total += top + std::log((x.array() - top).exp().sum()) - x[tokens[t + 1]];
    }
    return std::exp(total / double(tokens.size() - 1));
  };
  pith_session_options options = session_options();
  options.capacity = 513;
  options.attention = PITH_ATTENTION_MATERIALISE;
  const auto materialised = all_logits(runtime.model, tokens, options);
  options.attention = PITH_ATTENTION_DEFAULT;
  const auto grouped = all_logits(runtime.model, tokens, options);
  const Agreement found = agreement(materialised, grouped);
  MESSAGE("default pool: mean KL ", found.kl_mean, ", top-1 agreement ", found.top1);
  CHECK(found.kl_mean < (is_quick() ? 0.001 : 0.0005));
  if (is_quick()) return;
  CHECK(found.top1 >= 0.97);  // some of 513 tokens are near ties
  for (const uint64_t share : {0, 1, 2, 4}) {
    options.pool_bytes = rows(runtime.model, options, 513 * share / 8);
    const Agreement other = agreement(materialised, all_logits(runtime.model, tokens, options));
    MESSAGE("pool of ", share, "/8: mean KL ", other.kl_mean, ", top-1 agreement ", other.top1);
  }
  options.pool_bytes = 0;
  options.cache = PITH_PRECISION_F32;
  const double int8 = perplexity(grouped), float32 = perplexity(all_logits(runtime.model, tokens, options));
  MESSAGE("perplexity: int8 cache ", int8, ", float32 cache ", float32);
  CHECK(std::fabs(int8 / float32 - 1) < 0.005);
}

// The router is a join more; shared experts, which are a dense feed-forward, two more.
TEST_CASE("threads join at most 5 times a layer, and once more for low-rank queries, twice for absorbed ones") {
  for (SynthSpec spec : some_variants()) {
    CAPTURE(spec.name);
    Config& config = spec.config;
    const bool is_absorbed = config.gate != Gate::up && !config.is_mha();
    const int32_t n_expert_joins = config.n_experts == 0 ? 0 : config.n_shared_experts > 0 ? 3 : 1;
    const int32_t n_joins = 5 + (config.query_latent_width > 0 ? 1 : 0) + (is_absorbed ? 2 : 0) + n_expert_joins;
    config.width = config.feed_forward_width = 512;  // large enough that every product is worth a job
    config.n_heads = config.is_mha() ? config.n_heads : 8;
    config.n_kv_heads = config.is_mha() ? config.n_kv_heads : 8;
    const Case c(spec, 5, 300);
    const Runtime runtime(c.packed("q4"));
    pith_session_options options = session_options();
    options.max_threads = 2;
    Session session(runtime.model, options);
    const Team& team = session.get()->team;
    uint64_t most = 0;
    for (const int32_t token : c.tokens) {
      const uint64_t before = team.n_jobs();
      session.eval(token);
      most = std::max(most, team.n_jobs() - before);
    }
    CHECK(most <= uint64_t(config.n_layers * n_joins + 1));                                     // one for the logits
    if (std::thread::hardware_concurrency() > 1) CHECK(most >= uint64_t(config.n_layers * 3));  // they do join
  }
}
