// The whole model against the float64 oracle, for every variant.
#include <doctest/doctest.h>

#include "opened_file.h"
#include "random_model.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// Mean ||a - b|| / ||b|| over the tokens.
double mean_error(const std::vector<std::vector<float>>& a, const Matrix& b) {
  double total = 0;
  for (size_t t = 0; t < a.size(); ++t) total += worst_error({a[t]}, b.row(int64_t(t)));
  return total / double(a.size());
}

// The same model with its numbers cut (BF16) or rounded (F16) to 16 bits.
Bytes stored_as(TensorType type, const Bytes& floats) {
  const OpenedFile in(floats, false);
  std::vector<Bytes> tensors;
  for (size_t i = 0; i < in.file.n_tensors(); ++i) {
    Bytes& out = tensors.emplace_back();
    const TensorEntry& t = in.file.tensor(i);
    for (uint64_t at = 0; at < t.bytes; at += sizeof(float)) {
      const uint16_t cut = read_le<uint16_t>(t.data + at + 2);
      put<uint16_t>(&out, type == TensorType::bf16 ? cut : float_to_half(read_le<float>(t.data + at)));
    }
  }
  GgufWriter writer;
  for (size_t i = 0; i < in.file.n_meta(); ++i) writer.add_entry(in.file.meta(i));
  for (size_t i = 0; i < in.file.n_tensors(); ++i) {
    const TensorEntry& t = in.file.tensor(i);
    writer.add_tensor(t.name, type, {t.dims, t.dims + t.n_dims}, tensors[i]);
  }
  return writer.bytes();
}

// float32: some ten products of up to 100 terms a layer, each sum within sqrt(100) / 2 ulp of its terms, over three layers
// that add up on the residual: about 30 * 5 * 6e-8 = 1e-5 at the very worst; measured 3e-7 to 1e-6. The promise is 2e-5.
constexpr double kFloatBound = 2e-5;

}  // namespace

TEST_CASE("float32 runtime equals the float64 oracle, all variants") {
  for (const SynthSpec& spec : all_variants()) {
    const Case c(spec, std::random_device{}(), 80);
    CAPTURE(c.spec.name);
    CAPTURE(c.spec.seed);
    const Matrix expected = ReferenceModel(c.floats).logits(c.tokens);
    const Runtime runtime(c.packed("f32"));
    const double error = worst_error(all_logits(runtime.model, c.tokens, exact_options()), expected);
    CHECK(error < kFloatBound);
    pith_session_options materialise = exact_options();
    materialise.attention = PITH_ATTENTION_MATERIALISE;
    const double error_materialised = worst_error(all_logits(runtime.model, c.tokens, materialise), expected);
    CHECK(error_materialised < kFloatBound);
    MESSAGE(c.spec.name, ": ", error, ", materialised ", error_materialised);
  }
}

TEST_CASE("float32 runtime equals the oracle over 256 tokens") {
  const Case c(gated_spec("egmla", GateNorm::layer), std::random_device{}(), 256);
  CAPTURE(c.spec.seed);
  const Runtime runtime(c.packed("f32"));
  const double error =
      worst_error(all_logits(runtime.model, c.tokens, exact_options()), ReferenceModel(c.floats).logits(c.tokens));
  MESSAGE("256 tokens: ", error);
  CHECK(error < kFloatBound);
}

// 8-bit rounding errs by up to 1/254 of the largest of a block at some 20 products in a row, about 0.2 % each against the
// values' own size, and 4-bit weights by 1/15: measured 0.01 to 0.09 and 0.1 to 0.7 over 450 models of random weights, which
// have no slack; unrelated logits would be at 1.4.
TEST_CASE("int8 and int4 stay near the oracle, all variants") {
  for (const SynthSpec& spec : all_variants()) {
    if (!is_continuous(spec)) continue;
    const Case c(spec, std::random_device{}(), 40);
    CAPTURE(c.spec.name);
    CAPTURE(c.spec.seed);
    const Matrix expected = ReferenceModel(c.floats).logits(c.tokens);
    const double q8 = mean_error(all_logits(Runtime(c.packed("q8")).model, c.tokens, session_options()), expected);
    const double q4 = mean_error(all_logits(Runtime(c.packed("q4")).model, c.tokens, session_options()), expected);
    const double q4m = mean_error(all_logits(Runtime(c.packed("q4m")).model, c.tokens, session_options()), expected);
    MESSAGE(c.spec.name, ": q8 ", q8, ", q4 ", q4, ", q4m ", q4m);
    CHECK(q8 < 0.15);
    CHECK(q4 < 1.0);
    CHECK(q4m < 1.0);
    CHECK(q8 < q4);
    CHECK(q8 < q4m);
  }
}

TEST_CASE("float32 runtime equals the oracle for models stored in F16 and BF16") {
  for (const TensorType type : {TensorType::f16, TensorType::bf16}) {
    Case c(all_variants()[4], std::random_device{}(), 40);
    CAPTURE(c.spec.seed);
    CAPTURE(int(type));
    const Bytes halves = stored_as(type, c.floats);
    const Matrix expected = ReferenceModel(halves).logits(c.tokens);
    CHECK(worst_error(all_logits(Runtime(c.packed("f32")).model, c.tokens, exact_options()), expected) >
          1e-4);  // control
    c.floats = halves;
    CHECK(worst_error(all_logits(Runtime(c.packed("f32")).model, c.tokens, exact_options()), expected) < kFloatBound);
  }
}

TEST_CASE("cache elements per token of the published shapes") {
  const std::pair<const char*, uint32_t> expected[] = {
      {"paper-mha", 18432}, {"paper-mla256", 3840}, {"paper-kv64", 1536}, {"paper-kv16", 960}};
  for (const auto& [shape, elements] : expected) {
    SynthSpec spec = synth_spec(shape);
    spec.config.vocab_size = 257;  // the cache does not depend on it
    spec.config.width = 8;
    spec.config.feed_forward_width = 8;
    const Bytes floats = synth_float(spec);
    const Block aligned = block_of(floats.data(), floats.size());
    const Runtime runtime(pack_model(aligned.get(), floats.size(), pack_options("q4")));
    pith_session_plan plan{};
    plan.struct_size = sizeof plan;
    REQUIRE(int(pith_session_get_plan(runtime.model.get(), nullptr, &plan, nullptr)) == int(PITH_OK));
    CHECK(plan.cache_elements_per_token == elements);
  }
}
