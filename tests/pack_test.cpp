// The packer: errors of rounding, the fold as an identity, refusals; and the PyTorch goldens through it.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "fold.h"
#include "half.h"
#include "quantizer.h"
#include "reference/reference_model.h"
#include "runtime.h"
#include "variants.h"

using namespace pith;
using namespace pith::test;

namespace {

Bytes file_bytes(const std::string& name) {
  std::ifstream in(std::string(PITH_SOURCE_DIR "/tests/golden/") + name, std::ios::binary);
  REQUIRE(in.good());
  std::stringstream text;
  text << in.rdbuf();
  const std::string s = text.str();
  return Bytes(s.begin(), s.end());
}

template <typename T>
std::vector<T> numbers(const std::string& name) {
  const Bytes bytes = file_bytes(name);
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

Bytes pack_bytes(const Bytes& floats, const char* type) {
  const Block aligned = block_of(floats.data(), floats.size());
  return pack_model(aligned.get(), floats.size(), pack_options(type));
}

double squared_error(const float (&x)[kBlockCols], const BlockCodes& codes) {
  double total = 0;
  for (int i = 0; i < kBlockCols; ++i) {
    const double e = double(x[i]) - double(half_to_float(codes.d)) * codes.q[i];
    total += e * e;
  }
  return total;
}

std::string refusal(const Bytes& floats) {
  try {
    pack_bytes(floats, "q4");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("logits of the PyTorch goldens") {
  for (const std::string name : {"egmla", "latent_gate", "mla_yarn", "mha_grouped"}) {
    CAPTURE(name);
    const Bytes floats = file_bytes(name + ".gguf");
    const std::vector<int32_t> tokens = numbers<int32_t>(name + ".tokens");
    const std::vector<float> expected = numbers<float>(name + ".logits");  // [tokens, V], PyTorch in float64
    const size_t vocab = expected.size() / tokens.size();
    const Matrix oracle = ReferenceModel(floats).logits(tokens);
    const Runtime runtime(pack_bytes(floats, "f32"));
    const std::vector<std::vector<float>> got = all_logits(runtime.model, tokens, exact_options());
    double oracle_error = 0, runtime_error = 0;
    for (size_t t = 0; t < tokens.size(); ++t) {
      const Vector want = Eigen::Map<const Eigen::VectorXf>(&expected[t * vocab], int64_t(vocab)).cast<double>();
      const Vector have = Eigen::Map<const Eigen::VectorXf>(got[t].data(), int64_t(vocab)).cast<double>();
      oracle_error = std::max(oracle_error, (oracle.row(int64_t(t)).transpose() - want).norm() / want.norm());
      runtime_error = std::max(runtime_error, (have - want).norm() / want.norm());
    }
    MESSAGE(name, ": oracle ", oracle_error, ", runtime ", runtime_error);
    CHECK(oracle_error < 1e-6);  // the golden is rounded to float32
    CHECK(runtime_error < 1e-4);
  }
}

TEST_CASE("rounding errors of blocks") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  double plain_total = 0, found_total = 0;
  for (int round = 0; round < 2000; ++round) {
    float x[kBlockCols];
    for (float& v : x) v = normal(random);
    if (round % 10 == 0) x[3] *= 6;
    const BlockCodes q8 = quantize_q8(x), q4 = quantize_q4(x);
    int largest = 0;
    for (int i = 0; i < kBlockCols; ++i) {
      largest = std::max(largest, std::abs(int(q8.q[i])));
      CHECK(std::fabs(x[i] - half_to_float(q8.d) * float(q8.q[i])) <= 0.5001f * half_to_float(q8.d) + 127 * 0.0005f * half_to_float(q8.d));
      CHECK((q4.q[i] >= -8 && q4.q[i] <= 7));
    }
    CHECK(largest == 127);
    // A dequantised q8 block is quantised to the same codes by the runtime's rule: max / 127.
    float back[kBlockCols], top = 0;
    for (int i = 0; i < kBlockCols; ++i) top = std::max(top, std::fabs(back[i] = half_to_float(q8.d) * float(q8.q[i])));
    for (int i = 0; i < kBlockCols; ++i) CHECK(int(std::nearbyint(back[i] * (127.0f / top))) == q8.q[i]);
    // The plain choice: the largest value becomes -8 (or 8, cut to 7).
    BlockCodes plain{};
    float extreme = 0;
    for (const float v : x) extreme = std::fabs(v) > std::fabs(extreme) ? v : extreme;
    plain.d = float_to_half(extreme / -8);
    for (int i = 0; i < kBlockCols; ++i) plain.q[i] = int8_t(std::clamp(int(std::nearbyint(x[i] / half_to_float(plain.d))), -8, 7));
    plain_total += squared_error(x, plain);
    found_total += squared_error(x, q4);
    CHECK(squared_error(x, q4) <= squared_error(x, plain) * 1.0001);
  }
  MESSAGE("q4: squared error ", found_total / plain_total, " of the plain choice of scales");
  CHECK(found_total < 0.95 * plain_total);
  const float zeros[kBlockCols] = {};
  CHECK(half_to_float(quantize_q4(zeros).d) == 0);
  CHECK(half_to_float(quantize_q8(zeros).d) == 0);
}

TEST_CASE("what the packer refuses") {
  SynthSpec spec = gated_spec("egmla", GateNorm::layer);
  const Bytes good = synth_float(spec);
  CHECK(refusal(good).empty());  // the control
  CHECK(refusal(pack_bytes(good, "q4")).find("packed already") != std::string::npos);
  CHECK(refusal(Bytes(good.begin(), good.end() - 64)).find("blk.2.ffn_down.weight") != std::string::npos);
  Bytes bad = good;
  const float nan = std::nanf("");
  std::memcpy(bad.data() + bad.size() - 64, &nan, 4);
  CHECK(refusal(bad).find("not finite") != std::string::npos);
  CHECK(refusal({}).find("header") != std::string::npos);
}

TEST_CASE("the built-in shape packs below 4 MB") {
  const SynthSpec spec = synth_spec("m");
  const Bytes packed = pack_bytes(synth_float(spec), "q4");
  MESSAGE("shape m in q4: ", packed.size(), " bytes");
  CHECK(packed.size() < 4000000);
  const Runtime runtime(packed);
  CHECK(runtime.model.info().n_layers == 12);
  CHECK(runtime.model.info().tied_output == 1);
}

TEST_CASE("random models are the same everywhere") {
  SynthSpec spec = small_spec("mla");
  CHECK(synth_float(spec) == synth_float(spec));
  SynthSpec other = spec;
  other.seed = 2;
  CHECK(synth_float(spec) != synth_float(other));
  Bytes streamed;
  synth_packed(spec, pack_options("q8"), [&](const void* data, size_t n) {
    const uint8_t* first = static_cast<const uint8_t*>(data);
    streamed.insert(streamed.end(), first, first + n);
  });
  const Runtime a(streamed), b(pack_bytes(synth_float(spec), "q8"));
  const std::vector<int32_t> tokens = random_tokens(20, 300, 1);
  CHECK(same_bits(all_logits(a.model, tokens, session_options()).back(), all_logits(b.model, tokens, session_options()).back()));
}
