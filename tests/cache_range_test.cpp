// An int8 cache holds numbers of any size. What a model caches is scaled by a power of two, and what reads it by the inverse: in
// real arithmetic nothing changes, nor does any rounding, so the logits must be the same bits.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "opened_file.h"
#include "random_model.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// The tensors of a float model, to be changed in place.
struct Editor {
  explicit Editor(Bytes* of) : bytes(of), opened(*of, false) {}

  // One column; of a vector, one number.
  void scale_column(const std::string& name, float factor, size_t column) {
    const TensorEntry* t = opened.file.find_tensor(std::string_view(name));
    REQUIRE(t != nullptr);
    float* data = reinterpret_cast<float*>(bytes->data() + (t->data - opened.bytes.get()));
    for (size_t i = column; i < t->bytes / sizeof(float); i += size_t(t->dims[0]), ++n_changed) data[i] *= factor;
  }
  void scale(const std::string& name, float factor, size_t first_row = 0, size_t n_rows = SIZE_MAX) {
    const TensorEntry* t = opened.file.find_tensor(std::string_view(name));
    if (t == nullptr) return;
    REQUIRE(t->type == TensorType::f32);
    uint8_t* data = bytes->data() + (t->data - opened.bytes.get());
    const size_t cols = t->n_dims == 1 ? 1 : size_t(t->dims[0]), rows = t->bytes / sizeof(float) / cols;
    for (size_t i = first_row * cols; i < std::min(rows, n_rows == SIZE_MAX ? rows : first_row + n_rows) * cols; ++i) {
      float x;
      std::memcpy(&x, data + i * sizeof x, sizeof x);
      x *= factor;
      std::memcpy(data + i * sizeof x, &x, sizeof x);
      ++n_changed;
    }
  }

  Bytes* bytes;
  OpenedFile opened;
  size_t n_changed = 0;
};

// Latents times s, read by weights divided by s.
void scale_latents(const Config& c, float s, Editor* model) {
  for (int32_t layer = 0; layer < c.n_layers; ++layer) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    if (c.kv_norm == KvNorm::rms) {
      model->scale(blk + "attn_kv_a_norm.weight", s);
    } else {
      model->scale(blk + "attn_kv_a_mqa.weight", s, 0, size_t(c.latent_width));
      model->scale(blk + "attn_kv_a_mqa.bias", s, 0, size_t(c.latent_width));
    }
    model->scale(blk + "attn_kv_b.weight", 1 / s);
  }
}

// Values of MHA times s, and keys where queries' heads are not normed on their own.
void scale_heads(const Config& c, float s, Editor* model) {
  for (int32_t layer = 0; layer < c.n_layers; ++layer) {
    const std::string blk = "blk." + std::to_string(layer) + ".";
    for (const char* part : {"attn_v.weight", "attn_v.bias"}) model->scale(blk + part, s);
    model->scale(blk + "attn_output.weight", 1 / s);
    const bool is_normed = c.head_norm == HeadNorm::rms;
    for (const char* part : {".weight", ".bias"}) {
      model->scale(blk + (is_normed ? "attn_k_norm" : "attn_k") + part, s);
      model->scale(blk + (is_normed ? "attn_q_norm" : "attn_q") + part, 1 / s);
    }
  }
}

std::vector<std::vector<float>> logits_of(const Bytes& floats, const std::vector<int32_t>& tokens, uint32_t attention,
                                          uint32_t cache = PITH_PRECISION_I8) {
  const Block aligned = block_of(floats.data(), floats.size());
  const Runtime runtime(pack_model(aligned.get(), floats.size(), pack_options("f32")));
  pith_session_options options = session_options();
  options.activations = PITH_PRECISION_F32;  // so that nothing but the cache rounds
  options.attention = attention;
  options.cache = cache;
  return all_logits(runtime.model, tokens, options);
}

}  // namespace

TEST_CASE("an int8 cache holds numbers of any size: scales of 1e-12 to 1e12, every variant") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const SynthSpec& spec : some_variants()) {
    // There the norm of the gated latent takes s away again, all but its epsilon.
    if (spec.config.gate == Gate::latent && spec.config.gate_norm != GateNorm::none) continue;
    CAPTURE(spec.name);
    const Case c(spec, seed, 90);  // more than a tile of 64 slots
    for (const uint32_t attention : {PITH_ATTENTION_DEFAULT, PITH_ATTENTION_MATERIALISE}) {
      CAPTURE(attention);
      const auto expected = logits_of(c.floats, c.tokens, attention);
      for (const int exponent : {-40, -20, 20, 40}) {
        CAPTURE(exponent);
        Bytes floats = c.floats;
        Editor model(&floats);
        const float s = std::ldexp(1.0f, exponent);
        spec.config.is_mha() ? scale_heads(spec.config, s, &model) : scale_latents(spec.config, s, &model);
        CHECK(model.n_changed > 0);
        const auto got = logits_of(floats, c.tokens, attention);
        size_t n_same = 0;
        for (size_t t = 0; t < got.size(); ++t) n_same += same_bits(got[t], expected[t]);
        CHECK(n_same == got.size());
      }
    }
  }
}

TEST_CASE("one channel that is larger than the others: nothing in a float32 cache, their last bits in an int8 one") {
  constexpr uint64_t kSeed = 3;
  CAPTURE(kSeed);
  for (const SynthSpec& spec : {small_spec("mla"), gated_spec("egmla", GateNorm::layer)}) {
    CAPTURE(spec.name);
    const Case c(spec, kSeed, 90);
    const auto exact = logits_of(c.floats, c.tokens, PITH_ATTENTION_DEFAULT, PITH_PRECISION_F32);
    double before = 0;
    for (const int exponent : {0, 3, 7, 10, 13}) {  // times 1 to 8,192
      Bytes floats = c.floats;
      Editor model(&floats);
      for (int32_t layer = 0; layer < spec.config.n_layers; ++layer) {
        const std::string blk = "blk." + std::to_string(layer) + ".";
        model.scale_column(blk + "attn_kv_a_norm.weight", std::ldexp(1.0f, exponent), 3);
        model.scale_column(blk + "attn_kv_b.weight", std::ldexp(1.0f, -exponent), 3);
      }
      const auto in_floats = logits_of(floats, c.tokens, PITH_ATTENTION_DEFAULT, PITH_PRECISION_F32);
      for (size_t t = 0; t < exact.size(); ++t) CHECK(same_bits(in_floats[t], exact[t]));
      const double kl = agreement(exact, logits_of(floats, c.tokens, PITH_ATTENTION_DEFAULT)).kl_mean;
      MESSAGE(spec.name, ": a channel times ", 1 << exponent, ": KL divergence of the int8 cache ", kl);
      CHECK(kl > before);  // docs/promises.md, "Not promised"
      before = kl;
      if (exponent == 0) CHECK(kl < 1e-3);
    }
  }
}
