// The runtime step by step, against PyTorch's traces in float64 and against the float32 reference.
#include <doctest/doctest.h>

#include <filesystem>

#include "comparison.h"
#include "golden_file.h"
#include "model/model.h"
#include "opened_file.h"
#include "random_model.h"
#include "reference.h"
#include "runtime.h"
#include "runtime_trace.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;
using namespace pith::parity;

namespace {

// The promise of float32 for every tensor of every token; measured 1e-7 to 2e-6.
constexpr double kFloatBound = 2e-5;
// Quantisation is measured by its effect on one draw of noise and one text: three times that leaves room for chance.
constexpr double kMargin = 3;

const char* const kModels[] = {"egmla",          "latent_gate", "mla_yarn",     "mha_grouped",
                               "split_low_rank", "rms_gate",    "mla_longrope", "experts"};

Bytes packed(const Bytes& floats, const char* type) {
  const Block aligned = block_of(floats.data(), floats.size());
  return pack_model(aligned.get(), floats.size(), pack_options(type));
}

PlainModel plain(const Bytes& bytes, uint64_t noise_seed = 0) {
  const Block aligned = block_of(bytes.data(), bytes.size());
  return load_plain_model(aligned.get(), bytes.size(), noise_seed);
}

// One token by one, unless chunk says otherwise.
pith_session_options options_of(pith_precision precision, pith_attention attention, const char* tier = nullptr,
                                uint32_t chunk = 1) {
  pith_session_options options = session_options();
  options.chunk = chunk;
  options.cache = options.activations = uint32_t(precision);
  options.attention = uint32_t(attention);
  options.tier = tier;
  return options;
}

// The tensor that is farthest off, of the token where it is.
TensorError worst(const ForwardTrace& a, const ForwardTrace& b) {
  TensorError out;
  for (const TensorError& e : compare_tensors(a, b)) {
    if (e.max_relative >= out.max_relative) out = e;
  }
  return out;
}

void check_near(const ForwardTrace& a, const ForwardTrace& b, double bound) {
  const TensorError e = worst(a, b);
  CHECK_MESSAGE(e.max_relative < bound, e.name, " at token ", e.worst_token, ": ", e.max_relative);
}

// The same for models of new random weights every time. The first token has one score a head, a sum that cancels: one model in
// some thousand has all of them so near to zero that float32's error is a larger share of what is left. Scores are held to the bound
// as a whole.
void check_near_random(const ForwardTrace& a, const ForwardTrace& b, double bound) {
  for (const TensorError& e : compare_tensors(a, b)) {
    const double error = e.name.ends_with(".scores") ? e.relative : e.max_relative;
    CHECK_MESSAGE(error < bound, e.name, " at token ", e.worst_token, ": ", error);
  }
}

// Traces of a golden model: PyTorch's, and a GPU's where somebody has written one (tools/parity/run_on_gpu).
std::vector<ForwardTrace> goldens(const std::string& model) {
  std::vector<ForwardTrace> out;
  for (const std::string writer : {"pytorch", "cuda"}) {
    const std::string name = model + "." + writer + ".safetensors";
    if (writer == "cuda" && !std::filesystem::exists(std::string(PITH_SOURCE_DIR) + "/tests/golden/" + name)) continue;
    const Bytes bytes = read_golden(name);
    out.push_back(parse_trace(std::string(bytes.begin(), bytes.end()), name));
  }
  return out;
}

// Tensors that every trace of the model has.
size_t n_tensors(const Config& c) {
  const size_t of_layer = c.is_mha() ? 9 : c.gate == Gate::none ? 11 : 12, of_model = 3;
  const size_t n_routers = c.n_experts > 0 ? size_t(c.n_layers - c.n_dense_layers) : 0;
  return of_model + size_t(c.n_layers) * of_layer + 2 * n_routers;
}

}  // namespace

TEST_CASE("every step in float32 equals the golden traces") {
  for (const std::string model : kModels) {
    CAPTURE(model);
    const Bytes floats = read_golden(model + ".gguf");
    const Runtime runtime(packed(floats, "f32"));
    for (const ForwardTrace& golden : goldens(model)) {
      check_near(golden, goldens(model)[0], kFloatBound);  // a GPU's and PyTorch's
      for (const char* tier : {static_cast<const char*>(nullptr), "scalar"}) {
        const ForwardTrace run = trace_runtime(
            runtime.model, options_of(PITH_PRECISION_F32, PITH_ATTENTION_MATERIALISE, tier), golden.tokens);
        const Config& config = runtime.model.get()->config;
        CHECK(compare_tensors(run, golden).size() == n_tensors(config));
        check_near(run, golden, kFloatBound);
        if (tier == nullptr) MESSAGE(model, ": ", worst(run, golden).max_relative);
      }
      const ForwardTrace other = trace_runtime(runtime.model, options_of(PITH_PRECISION_F32, PITH_ATTENTION_DEFAULT),
                                               golden.tokens);  // grouped, absorbed: no keys, values and scores
      CHECK(compare_tensors(other, golden).size() >= 3 + 7 * size_t(runtime.model.get()->config.n_layers));
      check_near(other, golden, kFloatBound);
      check_near(run_host_reference(plain(floats), golden.tokens), golden, kFloatBound);
    }
  }
}

TEST_CASE("every step of a prompt in chunks equals the golden traces, and decoding's") {
  for (const std::string model : kModels) {
    CAPTURE(model);
    const Runtime runtime(packed(read_golden(model + ".gguf"), "f32"));
    const ForwardTrace golden = goldens(model)[0];
    const Config& config = runtime.model.get()->config;
    for (const uint32_t chunk : {2u, 3u, 8u, 11u, 512u}) {
      CAPTURE(chunk);
      for (const pith_attention attention : {PITH_ATTENTION_MATERIALISE, PITH_ATTENTION_DEFAULT}) {
        const ForwardTrace run =
            trace_runtime(runtime.model, options_of(PITH_PRECISION_F32, attention, nullptr, chunk), golden.tokens);
        check_near(run, golden, kFloatBound);
        if (attention == PITH_ATTENTION_DEFAULT) continue;  // the last tokens of it may be steps
        CHECK(compare_tensors(run, golden).size() == n_tensors(config));
      }
    }
    // In int8 a prompt has the bits of its tokens one by one, so that its trace has them too.
    for (const pith_precision precision : {PITH_PRECISION_F32, PITH_PRECISION_I8}) {
      const auto trace = [&](uint32_t chunk) {
        return trace_runtime(runtime.model, options_of(precision, PITH_ATTENTION_MATERIALISE, nullptr, chunk),
                             golden.tokens);
      };
      const ForwardTrace steps = trace(1), chunks = trace(7);
      REQUIRE(steps.tensors.size() == chunks.tensors.size());
      for (const auto& [name, tensor] : steps.tensors) {
        CAPTURE(name);
        CHECK(chunks.find(name)->x == tensor.x);
      }
    }
  }
}

TEST_CASE("int8 and int4 stay within what quantisation explains of the golden traces") {
  for (const std::string model : kModels) {
    if (model == "experts") continue;  // rounded, a token may go to another expert: no noise explains that
    for (const char* type : {"q8", "q4m", "q4"}) {
      CAPTURE(model);
      CAPTURE(type);
      const Bytes bytes = packed(read_golden(model + ".gguf"), type);
      const Runtime runtime(bytes);
      const ForwardTrace golden = goldens(model)[0];
      const auto trace = [&](pith_precision precision) {
        return trace_runtime(runtime.model, options_of(precision, PITH_ATTENTION_MATERIALISE), golden.tokens);
      };
      const ForwardTrace run = trace(PITH_PRECISION_I8), exact = trace(PITH_PRECISION_F32);
      const std::vector<TensorError> errors = compare_tensors(run, golden);
      const std::vector<std::vector<TensorError>> parts = {
          compare_tensors(run, exact), compare_tensors(run_host_reference(plain(bytes, 1), golden.tokens), exact)};
      const Verdict verdict = judge(errors, parts, kFloatBound, kMargin);
      CHECK_MESSAGE(verdict.first < 0, errors[size_t(std::max<int64_t>(verdict.first, 0))].name);
      CHECK(judge(errors, {parts[0]}, kFloatBound, kMargin).first >= 0);                // weights are part of it
      check_near(run_host_reference(plain(bytes), golden.tokens), exact, kFloatBound);  // the same file, unpacked
    }
  }
}

TEST_CASE("the built-in model stays within what quantisation explains of its golden trace") {
  std::ifstream in(PITH_BUILTIN_MODEL, std::ios::binary);
  const Bytes bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const Runtime runtime(bytes);
  for (const ForwardTrace& golden : goldens("builtin")) {
    check_near(golden, goldens("builtin")[0], kFloatBound);  // a GPU's and PyTorch's
    const auto trace = [&](pith_precision precision) {
      return trace_runtime(runtime.model, options_of(precision, PITH_ATTENTION_MATERIALISE), golden.tokens);
    };
    const ForwardTrace run = trace(PITH_PRECISION_I8), exact = trace(PITH_PRECISION_F32);
    const std::vector<TensorError> errors = compare_tensors(run, golden);
    CHECK(errors.size() == 3 + 2 * 12);
    const Verdict verdict =
        judge(errors,
              {compare_tensors(run, exact), compare_tensors(run_host_reference(plain(bytes, 1), golden.tokens), exact)},
              kFloatBound, kMargin);
    CHECK_MESSAGE(verdict.first < 0, errors[size_t(std::max<int64_t>(verdict.first, 0))].name);
    check_near(run_host_reference(plain(bytes), golden.tokens), exact, kFloatBound);
  }
}

TEST_CASE("every step in float32 equals the reference, all variants") {
  for (const SynthSpec& variant : all_variants()) {
    const Case c(variant, std::random_device{}(), 70);  // more than a tile
    const SynthSpec& spec = c.spec;
    CAPTURE(spec.name);
    CAPTURE(spec.seed);
    const std::vector<int32_t>& tokens = c.tokens;
    const ForwardTrace reference = run_host_reference(plain(c.floats), tokens);
    const Bytes f32 = c.packed("f32");
    const Runtime runtime(f32);
    for (const uint32_t chunk : {1u, 2 + uint32_t(spec.seed % 80)}) {
      CAPTURE(chunk);
      const pith_session_options options = options_of(PITH_PRECISION_F32, PITH_ATTENTION_MATERIALISE, nullptr, chunk);
      check_near_random(trace_runtime(runtime.model, options, tokens), reference, kFloatBound);
    }
    check_near_random(run_host_reference(plain(f32), tokens), reference, kFloatBound);  // folded and unfolded
  }
}

// A GPU: every variant again, on the device. PITH_EXPECT_GPU: its absence is a failure.
TEST_CASE("the reference on a GPU equals the one on the host, all variants") {
  for (const SynthSpec& variant : all_variants()) {
    const Case c(variant, std::random_device{}(), 70);
    CAPTURE(c.spec.name);
    CAPTURE(c.spec.seed);
    const PlainModel model = plain(c.floats);
    const std::vector<int32_t>& tokens = c.tokens;
    try {
      check_near_random(run_cuda_reference(model, tokens), run_host_reference(model, tokens), kFloatBound);
    } catch (const NoDevice& error) {
      CHECK_MESSAGE(std::getenv("PITH_EXPECT_GPU") == nullptr, error.what());
      MESSAGE("skipped: ", std::string(error.what()));
      return;
    }
  }
}

TEST_CASE("a trace says what a session without one computes") {
  const Bytes floats = read_golden("egmla.gguf");
  const Runtime runtime(packed(floats, "q8"));
  const std::vector<int32_t> tokens = random_tokens(40, 300, 3);
  pith_session_options options = options_of(PITH_PRECISION_I8, PITH_ATTENTION_MATERIALISE);
  const ForwardTrace run = trace_runtime(runtime.model, options, tokens);
  const std::vector<std::vector<float>> logits = all_logits(runtime.model, tokens, options);
  for (size_t t = 0; t < tokens.size(); ++t) {
    const double* row = run.find("logits")->row(t);
    CHECK(std::equal(logits[t].begin(), logits[t].end(), row));
  }
}

TEST_CASE("a gamma of zero leaves no query and no scores to undo, and the rest stays right") {
  SynthSpec spec = gated_spec("egmla", GateNorm::layer);
  const Bytes floats = synth_float(spec);
  PlainModel model = plain(floats);
  const OpenedFile opened(floats, false);
  Bytes edited = floats;
  const TensorEntry* gamma = opened.file.find_tensor(std::string_view("blk.1.attn_gate_norm.weight"));
  const size_t at = size_t(gamma->data - static_cast<const uint8_t*>(opened.bytes.get())) + 3 * sizeof(float);
  std::memset(&edited[at], 0, sizeof(float));
  const std::vector<int32_t> tokens = random_tokens(20, 300, 5);
  const Runtime runtime(packed(edited, "f32"));
  const ForwardTrace run =
      trace_runtime(runtime.model, options_of(PITH_PRECISION_F32, PITH_ATTENTION_MATERIALISE), tokens);
  CHECK(run.find("layer.0.scores") != nullptr);
  CHECK(run.find("layer.1.scores") == nullptr);
  CHECK(run.find("layer.1.q") == nullptr);
  check_near(run, run_host_reference(plain(edited), tokens), kFloatBound);
  CHECK(worst(run, run_host_reference(model, tokens)).max_relative > 1e-3);  // control: the unedited model is another
}
