// The logits of the PyTorch goldens (tests/golden/make_golden.py): by the oracle, and by the runtime in float32.
#include <doctest/doctest.h>

#include "golden_file.h"
#include "reference/reference_model.h"
#include "runtime.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

template <typename T>
std::vector<T> numbers(const std::string& name) {
  const Bytes bytes = read_golden(name);
  std::vector<T> out(bytes.size() / sizeof(T));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

Bytes pack_bytes(const Bytes& floats, const char* type) {
  const Block aligned = block_of(floats.data(), floats.size());
  return pack_model(aligned.get(), floats.size(), pack_options(type));
}

}  // namespace

TEST_CASE("logits of the PyTorch goldens") {
  for (const std::string name : {"egmla", "latent_gate", "mla_yarn", "mha_grouped", "experts"}) {
    CAPTURE(name);
    const Bytes floats = read_golden(name + ".gguf");
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
