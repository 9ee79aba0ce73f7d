// A weight that is NaN or infinite must show in the logits, whichever tensor it stands in: nothing on the way may turn it
// into an ordinary number.
#include <doctest/doctest.h>

#include <string>

#include "half.h"
#include "runtime.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

Bytes pack_spec(const SynthSpec& spec, const char* type) {
  const Bytes floats = synth_float(spec);
  const Block aligned = block_of(floats.data(), floats.size());
  return pack_model(aligned.get(), floats.size(), pack_options(type));
}

// Folding moved them into attn_q and attn_output; the file keeps them for traces.
bool is_kept_unread(const Config& config, const std::string& name) {
  return config.gate == Gate::up && name.find("attn_gate_norm") != std::string::npos;
}

// ReLU of minus infinity is an honest 0, and so is the score of an expert that minus infinity speaks against.
bool may_vanish(const Config& config, const std::string& name, float bad) {
  const auto is_of = [&](const char* part) { return name.find(part) != std::string::npos; };
  const bool is_of_choice = is_of("ffn_gate_inp") || is_of("exp_probs_b");
  return std::isinf(bad) && (is_of_choice || (config.feed_forward == FeedForward::relu2 && is_of("ffn_up")));
}

void spoil_matrix(const pith_tensor& tensor, float bad, uint8_t* at) {
  const std::string type = tensor.type;
  const int32_t blocks = int32_t(padded_cols(int64_t(tensor.cols)) / kBlockCols);
  if (type == "q4" || type == "q8" || type == "q4m") {
    const uint16_t half = float_to_half(bad);
    const size_t place = type == "q4"   ? q4_place(0, blocks).d
                         : type == "q8" ? q8_place(0, blocks).d
                                        : q4m_place(0, blocks).m;
    std::memcpy(at + place, &half, sizeof half);
  } else {
    std::memcpy(at, &bad, sizeof bad);
  }
}

// Overwrites the first number of row 0 that decides a value: a weight, or the minimum or else the scale of a block. Of experts, in
// all of them: some are chosen.
void spoil(const pith_tensor& tensor, const Bytes& packed, const Runtime& runtime, float bad, Bytes* out) {
  *out = packed;
  uint8_t* first = out->data() + (static_cast<const uint8_t*>(tensor.data) - runtime.bytes.get());
  const bool is_stack = std::string(tensor.name, tensor.name_bytes).ends_with("_exps.weight");
  const uint64_t n = is_stack ? runtime.model.info().n_experts : 1;
  for (uint64_t i = 0; i < n; ++i) spoil_matrix(tensor, bad, first + i * (tensor.data_bytes / n));
}

// What an eval of token 0 (whose rows are row 0 of the embedding and the gate tables) answers.
pith_status status_of(const Bytes& packed, uint32_t precision) {
  const Runtime runtime(packed);
  pith_session_options options = session_options();
  options.cache = options.activations = precision;
  Session session(runtime.model, options);
  const int32_t tokens[] = {0, 0, 1};
  const pith_status status = pith_session_eval(session.get(), tokens, 3, nullptr);
  const pith_status after = pith_session_eval(session.get(), tokens, 1, nullptr);
  CHECK(int(after) == int(status == PITH_OK ? PITH_OK : PITH_E_STATE));
  session.reset();
  CHECK(int(pith_session_eval(session.get(), tokens, 1, nullptr)) == int(status));
  const std::vector<int32_t> prompt(10, 0);  // computed together
  session.reset();
  CHECK(int(pith_session_eval(session.get(), prompt.data(), prompt.size(), nullptr)) == int(status));
  return status;
}

}  // namespace

TEST_CASE("NaN and infinity in any tensor are PITH_E_NUMERIC, then PITH_E_STATE until the reset") {
  struct Mode {
    const char* type;
    uint32_t precision;
  };
  size_t n_spoiled = 0;
  for (const SynthSpec& spec : some_variants()) {
    for (const Mode mode :
         {Mode{"f32", PITH_PRECISION_F32}, Mode{"q4", PITH_PRECISION_I8}, Mode{"q4m", PITH_PRECISION_I8}}) {
      CAPTURE(spec.name);
      CAPTURE(std::string(mode.type));
      const Bytes packed = pack_spec(spec, mode.type);
      CHECK(int(status_of(packed, mode.precision)) == int(PITH_OK));  // positive control
      const Runtime runtime(packed);
      for (size_t i = 0; i < pith_model_tensor_count(runtime.model.get()); ++i) {
        pith_tensor tensor = sized<pith_tensor>();
        REQUIRE(int(pith_model_get_tensor(runtime.model.get(), i, &tensor, nullptr)) == int(PITH_OK));
        const std::string name(tensor.name, tensor.name_bytes);
        for (const float bad : {__builtin_nanf(""), __builtin_inff()}) {
          CAPTURE(name);
          CAPTURE(bad);
          if (may_vanish(spec.config, name, bad)) continue;
          Bytes spoiled;
          spoil(tensor, packed, runtime, bad, &spoiled);
          const pith_status expected = is_kept_unread(spec.config, name) ? PITH_OK : PITH_E_NUMERIC;
          CHECK(int(status_of(spoiled, mode.precision)) == int(expected));
          ++n_spoiled;
        }
      }
    }
  }
  MESSAGE(n_spoiled, " spoiled models");
}

// Zeros in place of numbers whose squares overflow would be uniform logits, and PITH_OK.
TEST_CASE(
    "a norm whose squares overflow is PITH_E_NUMERIC: of the residual stream and of the gated products, on every "
    "tier") {
  size_t n_cases = 0;
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    const Bytes packed = pack_spec(spec, "f32");
    const Runtime runtime(packed);
    for (size_t i = 0; i < pith_model_tensor_count(runtime.model.get()); ++i) {
      const pith_tensor tensor = runtime.model.tensor(i);
      const std::string name(tensor.name, tensor.name_bytes);
      const bool is_gate = name.starts_with("gate_embd.") && spec.config.gate_norm != GateNorm::none;
      if (name != "token_embd.weight" && !is_gate) continue;
      CAPTURE(name);
      Bytes spoiled;
      spoil(tensor, packed, runtime, 1e26f, &spoiled);
      const Runtime large(spoiled);
      int usable = 0;
      for (size_t j = 0; const char* tier = pith_tier_name(j, &usable); ++j) {
        if (!usable) continue;
        for (const uint32_t precision : {PITH_PRECISION_F32, PITH_PRECISION_I8}) {
          CAPTURE(std::string(tier));
          CAPTURE(precision);
          pith_session_options options = session_options();
          options.cache = options.activations = precision;
          options.tier = tier;
          Session session(large.model, options);
          const std::vector<int32_t> of_other_rows = {1, 2}, prompt(10, 0);
          CHECK(session.try_eval(of_other_rows).has_value());  // row 0 alone is spoiled
          for (const size_t n : {size_t(1), prompt.size()}) {
            session.reset();
            CHECK(int(pith_session_eval(session.get(), prompt.data(), n, nullptr)) == int(PITH_E_NUMERIC));
            ++n_cases;
          }
        }
      }
    }
  }
  MESSAGE(n_cases, " evaluations");
}
