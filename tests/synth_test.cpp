// Models of random weights: shapes, sizes, vocabulary, and that they run.
#include "model/tensor_list.h"
#include "synth.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "opened_file.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::quantize;
using namespace pith::test;

namespace {

SynthSpec small_spec() {
  SynthSpec spec;
  spec.name = "small";
  spec.config = tiny_config();
  spec.config.n_layers = 2;
  spec.config.width = 64;
  spec.config.n_heads = spec.config.n_kv_heads = 4;
  spec.config.content_width = spec.config.value_width = 16;
  spec.config.rope_width = 8;
  spec.config.latent_width = 16;
  spec.config.gate_width = 32;
  spec.config.feed_forward_width = 96;
  spec.config.vocab_size = 300;
  return spec;
}

Bytes packed_bytes_of(const SynthSpec& spec, const std::string& type) {
  Bytes out;
  synth_packed(spec, pack_options(type), into(&out));
  return out;
}

// Weights of a shape, by the list of its tensors.
uint64_t n_parameters(const SynthSpec& spec) {
  TensorList list(spec.config);
  TensorSpec tensor;
  uint64_t total = 0;
  while (list.next(&tensor)) {
    const std::string name = tensor.name;
    const bool is_output = name == "output.weight", is_beta = name.ends_with("norm.bias");
    const bool is_correction = name.ends_with("exp_probs_b.bias") && spec.config.expert_gating == ExpertGating::sigmoid;
    const bool is_qkv = name.ends_with("_q.bias") || name.ends_with("_k.bias") || name.ends_with("_v.bias");
    if (tensor.presence == Presence::required || (is_output && !spec.tied) || is_beta || is_correction ||
        (is_qkv && spec.qkv_biases))
      total += uint64_t(tensor.rows) * uint64_t(tensor.cols);
  }
  return total;
}

// A packed model that is ready to use.
struct Loaded {
  Block bytes, memory;
  pith_model* model = nullptr;

  explicit Loaded(const Bytes& content) : bytes(block_of(content.data(), content.size())) {
    pith_error error{};
    size_t n = 0;
    REQUIRE_MESSAGE(pith_model_bytes(bytes.get(), content.size(), &n, &error) == PITH_OK, error.message);
    memory = block_of(n);
    REQUIRE_MESSAGE(pith_model_init(bytes.get(), content.size(), memory.get(), n, &model, &error) == PITH_OK,
                    error.message);
  }
};

// Root mean square of the logits after some tokens, less their mean; NaN if one is not finite.
double logit_spread(const SynthSpec& spec) {
  const Loaded loaded(packed_bytes_of(spec, "f32"));
  pith_error error{};
  size_t n = 0;
  REQUIRE_MESSAGE(pith_session_bytes(loaded.model, nullptr, &n, &error) == PITH_OK, error.message);
  const Block memory = block_of(n);
  pith_session* session = nullptr;
  REQUIRE_MESSAGE(pith_session_init(loaded.model, nullptr, memory.get(), n, &session, &error) == PITH_OK,
                  error.message);
  const int32_t tokens[] = {0, 17, 200, 17, 256, 3};
  REQUIRE(pith_session_eval(session, tokens, std::size(tokens), nullptr) == PITH_OK);
  const float* logits = pith_session_logits(session);
  const int32_t count = spec.config.vocab_size;
  double mean = 0, square = 0;
  for (int32_t i = 0; i < count; ++i) mean += double(logits[i]) / count;
  for (int32_t i = 0; i < count; ++i) square += (double(logits[i]) - mean) * (double(logits[i]) - mean) / count;
  return std::sqrt(square);
}

// A JSON file that goes away with the object.
struct JsonFile {
  std::string path = (std::string(P_tmpdir) + "/pith_synth_" + std::to_string(getpid()) + ".json");
  explicit JsonFile(const std::string& text) { std::ofstream(path) << text; }
  ~JsonFile() { std::remove(path.c_str()); }
};

std::string spec_error(const std::string& json) {
  const JsonFile file(json);
  try {
    synth_spec(file.path);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

const char kJson[] =
    R"({"attention.kind": "latent", "block_count": 2, "embedding_length": 32, "attention.head_count": 2,
  "attention.value_length": 16, "egmla.attention.key_length_content": 16, "rope.dimension_count": 8, "vocab_size": 257,
  "attention.kv_lora_rank": 16, "feed_forward_length": 64, "context_length": 64, "rope.freq_base": 500000)";

}  // namespace

TEST_CASE("named shapes have the sizes of their table") {
  struct Row {
    const char* name;
    int cache_elements;  // per token: L (r + d_r), or L 2 n_h d_v
    uint64_t n_parameters;
  };
  // By hand, a layer of latent attention, N = n_h (d_n + d_v): d n_h (d_n + d_r) + d (r + d_r) + r + r N + n_h d_v d + 3 d FFN
  // + 2 d, with a gate d_e N + 2 N more; MHA 4 d n_h d_v + 3 d FFN + 2 d. Then the last norm d, the embedding V d, twice if
  // untied, and the gate tables ceil(L / lgz) V d_e.
  const Row rows[] = {{"paper-kv64", 1536, 213769728},
                      {"paper-kv16", 960, 212442048},
                      {"paper-mla256", 3840, 162813696},
                      {"paper-mha", 18432, 162220800},
                      {"paper-1b", 13824, 1366931456},
                      {"m", 384, 6018944},
                      {"xl", 768, 24932096}};
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const SynthSpec spec = synth_spec(row.name);
    const Config& c = spec.config;
    const int per_layer = c.is_mha() ? 2 * c.n_heads * c.value_width : c.latent_width + c.rope_width;
    CHECK(c.n_layers * per_layer == row.cache_elements);
    CHECK(n_parameters(spec) == row.n_parameters);
  }
  CHECK_THROWS_WITH(synth_spec("paper-kv65"), doctest::Contains("paper-kv65"));
}

TEST_CASE("shapes of published models have as many parameters as these say they have") {
  struct Row {
    const char* name;
    double published;  // model cards
    uint64_t layers, width, heads, kv_heads, query_latent, latent, nope, rope, value, feed_forward, ups, vocab;
    int cache_elements;  // per token
  };
  // Multi-head attention: latent 0, heads of `value`. `ups`: matrices into the feed-forward, two if it is gated.
  const Row rows[] = {
      {"minicpm3-4b", 4.07e9, 62, 2560, 40, 40, 768, 256, 64, 32, 64, 6400, 2, 73448, 17856},
      {"youtu-2b", 1.96e9, 32, 2048, 16, 16, 1536, 512, 128, 64, 128, 6144, 2, 128256, 18432},
      {"plm-1.8b", 1.83e9, 32, 2048, 16, 16, 0, 512, 128, 64, 128, 8192, 1, 151936, 18432},
      {"smollm2-135m", 134.5e6, 30, 576, 9, 3, 0, 0, 0, 0, 64, 1536, 2, 49152, 11520},
      {"llama-3.2-1b", 1.23e9, 16, 2048, 32, 8, 0, 0, 0, 0, 64, 8192, 2, 128256, 16384},
      {"qwen2.5-0.5b", 0.49e9, 24, 896, 14, 2, 0, 0, 0, 0, 64, 4864, 2, 151936, 6144},
  };
  for (const Row& r : rows) {
    CAPTURE(r.name);
    const uint64_t query = r.heads * (r.latent > 0 ? r.nope + r.rope : r.value), output = r.heads * r.value * r.width;
    uint64_t attention = r.width * query + 2 * r.width * r.kv_heads * r.value + output;
    if (r.latent > 0)
      attention = (r.query_latent > 0 ? r.query_latent * (r.width + query + 1) : r.width * query) +
                  r.width * (r.latent + r.rope) + r.latent + r.latent * r.heads * (r.nope + r.value) + output;
    const bool has_biases = std::string(r.name).starts_with("qwen");
    if (has_biases) attention += query + 2 * r.kv_heads * r.value;
    const uint64_t layer = attention + (r.ups + 1) * r.width * r.feed_forward + 2 * r.width;
    const uint64_t total = r.layers * layer + r.vocab * r.width + r.width;
    const SynthSpec spec = synth_spec(r.name);
    CHECK(n_parameters(spec) == total);
    CHECK(std::fabs(double(total) / r.published - 1) < 0.02);
    const Config& c = spec.config;
    CHECK(c.n_layers * (c.is_mha() ? 2 * c.n_kv_heads * c.value_width : c.latent_width + c.rope_width) ==
          r.cache_elements);
    SynthSpec slice = spec;  // one layer of it runs
    slice.config.n_layers = 1;
    slice.config.vocab_size = 300;
    slice.config.feed_forward_width = 64;
    slice.config.context_length = std::min(slice.config.context_length, 64);
    CHECK(logit_spread(slice) > 0.01);  // false for NaN
  }
  CHECK(synth_shape_names().size() == 7 + 3 + std::size(rows));
  CHECK_FALSE(named_spec("smollm2-135M").has_value());
}

TEST_CASE("shapes with experts have as many parameters as published, and read as many of them for a token") {
  struct Row {
    const char* name;
    double published, published_used;  // model cards
    uint64_t layers, heads, query_latent, nope, value, feed_forward, used, shared, width, vocab;
  };
  const Row rows[] = {
      {"deepseek-v2-lite", 15.7e9, 2.4e9, 27, 16, 0, 128, 128, 10944, 6, 2, 1408, 102400},
      {"moonlight-16b", 15.96e9, 2.24e9, 27, 16, 0, 128, 128, 11264, 6, 2, 1408, 163840},
      {"glm-4.7-flash", 30e9, 3e9, 47, 20, 768, 192, 256, 10240, 4, 1, 1536, 154880},
  };
  for (const Row& r : rows) {
    CAPTURE(r.name);
    const uint64_t d = 2048, latent = 512, rope = 64, query = r.heads * (r.nope + rope);
    const uint64_t attention = (r.query_latent > 0 ? r.query_latent * (d + query + 1) : d * query) +
                               d * (latent + rope) + latent + latent * r.heads * (r.nope + r.value) +
                               r.heads * r.value * d;
    const uint64_t expert = 3 * d * r.width, router = 64 * d + (std::string(r.name) == "deepseek-v2-lite" ? 0 : 64);
    const auto total = [&](uint64_t n_experts) {  // that count, of a layer's 64
      return r.layers * (attention + 2 * d) + 3 * d * r.feed_forward +
             (r.layers - 1) * (router + (n_experts + r.shared) * expert) + 2 * r.vocab * d + d;
    };
    const SynthSpec spec = synth_spec(r.name);
    CHECK(n_parameters(spec) == total(64));
    CHECK(std::fabs(double(total(64)) / r.published - 1) < 0.02);
    CHECK(std::fabs(double(total(r.used) - 2 * r.vocab * d) / r.published_used - 1) < 0.1);  // of round numbers
    SynthSpec slice = spec;  // two narrower layers of it run: a dense one and one with experts
    slice.config.n_layers = 2;
    slice.config.vocab_size = 300;
    slice.config.feed_forward_width = slice.config.expert_width = 64;
    slice.config.context_length = 64;
    CHECK(logit_spread(slice) > 0.01);  // false for NaN
  }
}

TEST_CASE("the outline of a model plans what the model plans") {
  std::vector<SynthSpec> specs = all_variants();
  SynthSpec few_biases = specs[10];  // multi-head attention, as Qwen2.5 has them
  few_biases.qkv_biases = true;
  specs.push_back(few_biases);
  for (const SynthSpec& spec : specs) {
    for (const char* type : {"q4", "f32"}) {
      CAPTURE(spec.name);
      CAPTURE(type);
      const PackOutline outline = synth_outline(spec, pack_options(type));
      Bytes thin = outline.header;
      thin.resize(outline.file_bytes);
      const Bytes file = packed_bytes_of(spec, type);
      CHECK(file.size() == outline.file_bytes);
      const Loaded whole(file), sketch(thin);
      const auto tensors_of = [](const pith_model* model) {
        std::string out;
        for (size_t i = 0; i < pith_model_tensor_count(model); ++i) {
          pith_tensor t{};
          t.struct_size = sizeof t;
          REQUIRE(pith_model_get_tensor(model, i, &t, nullptr) == PITH_OK);
          out += std::string(t.name, t.name_bytes) + " " + t.type + " " + std::to_string(t.rows) + " " +
                 std::to_string(t.cols) + " " + std::to_string(t.data_bytes) + "\n";
        }
        return out;
      };
      CHECK(tensors_of(sketch.model) == tensors_of(whole.model));
      pith_session_plan plans[2] = {};
      for (pith_session_plan& plan : plans) plan.struct_size = sizeof plan;
      REQUIRE(pith_session_get_plan(whole.model, nullptr, &plans[0], nullptr) == PITH_OK);
      REQUIRE(pith_session_get_plan(sketch.model, nullptr, &plans[1], nullptr) == PITH_OK);
      CHECK(std::memcmp(&plans[0], &plans[1], sizeof plans[0]) == 0);
    }
  }
}

TEST_CASE("the built-in shape takes less than 4,000,000 bytes in q4, vocabulary included") {
  const Bytes file = packed_bytes_of(synth_spec("m"), "q4");
  MESSAGE("m in q4: ", file.size(), " bytes");
  CHECK(file.size() < 4'000'000);
  const Loaded loaded(file);
  CHECK(pith_model_tensor_count(loaded.model) > 100);
}

TEST_CASE("a synthetic model is the same for every number of threads, and another for another seed") {
  SynthSpec spec = small_spec();
  const Bytes once = packed_bytes_of(spec, "q4"), plain = synth_float(spec);
#ifdef _OPENMP
  const int before = omp_get_max_threads();
  omp_set_num_threads(5);
#endif
  CHECK(packed_bytes_of(spec, "q4") == once);
  CHECK(synth_float(spec) == plain);
#ifdef _OPENMP
  omp_set_num_threads(before);
#endif
  spec.seed = 2;
  CHECK(packed_bytes_of(spec, "q4") != once);
}

TEST_CASE("experts that are drawn as codes have the variance of those that are drawn as floats") {
  SynthSpec spec = expert_spec("experts", ExpertGating::softmax);
  spec.config.expert_width = 100;  // no whole blocks
  const OpenedFile floats(synth_float(spec), false);
  for (const char* type : {"q4", "q4m", "q8", "f32"}) {
    const OpenedFile packed(packed_bytes_of(spec, type), true);
    for (const char* name : {"blk.1.ffn_up_exps.weight", "blk.2.ffn_down_exps.weight"}) {
      CAPTURE(type);
      CAPTURE(name);
      const std::vector<float> plain = floats.floats(name);
      const TensorEntry& t = *packed.file.find_tensor(std::string_view(name));
      const int64_t rows = t.rows / t.n_matrices, cols = t.cols;
      double mean = 0, square = 0, plain_square = 0;
      for (uint32_t matrix = 0; matrix < t.n_matrices; ++matrix) {
        for (int64_t i = 0; i < rows * cols; ++i) {
          const uint8_t* w = t.data + matrix * (t.bytes / t.n_matrices);
          const double x = double(packed_element(t.packed_type, w, i / cols, i % cols, cols));
          mean += x / double(plain.size());
          square += x * x / double(plain.size());
        }
      }
      for (const float x : plain) plain_square += double(x) * double(x) / double(plain.size());
      CHECK(square / plain_square == doctest::Approx(1).epsilon(0.05));
      CHECK(std::fabs(mean) < 0.15 * std::sqrt(square));  // q4's codes are -8 .. 7
    }
  }
}

TEST_CASE("packing the float file gives the packed file") {
  for (const bool is_long : {false, true}) {
    SynthSpec spec = small_spec();
    spec.biases = is_long;
    if (is_long) {
      spec.config.rope_scaling = RopeScaling::longrope;
      spec.config.rope_factor = 4;
      spec.config.rope_original_context = 8;
    }
    const Bytes plain = synth_float(spec);
    CHECK(pack_model(plain.data(), plain.size(), pack_options("q4")) == packed_bytes_of(spec, "q4"));
  }
}

TEST_CASE("values are about normal, gammas about 1") {
  const OpenedFile file(synth_float(small_spec()), false);
  const std::vector<float> w = file.floats("blk.1.ffn_down.weight");
  double mean = 0, square = 0, fourth = 0;
  for (const float v : w) {
    const double x = double(v) * std::sqrt(96.0);  // to variance 1
    mean += x / double(w.size());
    square += x * x / double(w.size());
    fourth += x * x * x * x / double(w.size());
  }
  // 6,144 values: four standard deviations of the mean (0.0128) and of the variance (0.0167); the fourth moment of a sum of
  // four uniforms is 2.7 (normal: 3), its estimate's deviation 0.07.
  CHECK(std::fabs(mean) < 0.052);
  CHECK(std::fabs(square - 1) < 0.067);
  CHECK(std::fabs(fourth - 2.7) < 0.28);
  for (const float v : file.floats("blk.0.attn_gate_norm.weight"))
    CHECK(std::fabs(v - 1) < 0.8f);  // 0.2 times at most 3.5
  for (const float v : file.floats("blk.0.attn_gate_norm.bias")) CHECK(std::fabs(v) < 0.8f);
}

TEST_CASE("synthetic models run, with logits of magnitude about 1") {
  for (const bool tied : {false, true}) {
    for (const Gate gate : {Gate::none, Gate::up, Gate::latent}) {
      SynthSpec spec = small_spec();
      spec.tied = tied;
      spec.config.gate = gate;
      if (gate == Gate::none) {
        spec.config.gate_norm = GateNorm::none;
        spec.config.gate_width = spec.config.layer_group_size = 0;
      }
      CAPTURE(tied);
      CAPTURE(int(gate));
      const double spread = logit_spread(spec);
      CHECK(spread > 0.3);
      CHECK(spread < 3);
    }
  }
}

TEST_CASE("every token of the vocabulary is what its text encodes to") {
  SynthSpec spec = small_spec();
  for (const int32_t size : {257, 2048, 20000}) {
    spec.config.vocab_size = size;
    const Loaded loaded(packed_bytes_of(spec, "q4"));
    pith_error error{};
    size_t n = 0;
    REQUIRE(pith_tokenizer_bytes(loaded.model, &n, &error) == PITH_OK);
    const Block memory = block_of(n);
    pith_tokenizer* tokenizer = nullptr;
    REQUIRE_MESSAGE(pith_tokenizer_init(loaded.model, memory.get(), n, &tokenizer, &error) == PITH_OK, error.message);
    CHECK(pith_tokenizer_bos(tokenizer) == 0);
    CHECK(pith_tokenizer_eos(tokenizer) == 0);
    int unreachable = 0;
    for (int32_t id = 1; id < size; ++id) {
      const char* text = nullptr;
      size_t bytes = 0, count = 0;
      REQUIRE(pith_tokenizer_decode(tokenizer, id, &text, &bytes, nullptr) == PITH_OK);
      Bytes work(pith_tokenizer_work_bytes(bytes));
      int32_t tokens[32];
      REQUIRE(pith_tokenizer_encode(tokenizer, text, bytes, 0, tokens, 32, &count, work.data(), work.size(), nullptr) ==
              PITH_OK);
      unreachable += count != 1 || tokens[0] != id;
    }
    CHECK(unreachable == 0);
  }
  spec.config.vocab_size = 256;
  CHECK_THROWS_WITH(synth_float(spec), doctest::Contains("vocab_size"));
}

TEST_CASE("a JSON configuration is held to the rules of a model file") {
  const JsonFile good(std::string(kJson) + ", \"tied\": true}");
  const SynthSpec spec = synth_spec(good.path);
  CHECK(spec.tied);
  CHECK(spec.config.rope_base == 500000);  // a whole number where the key is a real
  CHECK(spec.config.content_width == 16);  // given with "egmla."
  CHECK(spec.config.gate == Gate::none);
  CHECK(Loaded(packed_bytes_of(spec, "q8")).model != nullptr);

  CHECK(spec_error(std::string(kJson) + "}") == "");  // the positive control
  CHECK(spec_error(std::string(kJson) + ", \"attention.kv_lora_rnk\": 8}").find("attention.kv_lora_rnk") !=
        std::string::npos);
  CHECK(spec_error(std::string(kJson) + ", \"attention.q_lora_rank\": -1}").find("attention.q_lora_rank") !=
        std::string::npos);
  CHECK(spec_error(std::string(kJson) + ", \"attention.gate\": \"sideways\"}").find("attention.gate") !=
        std::string::npos);
  CHECK(spec_error(std::string(kJson) + ", \"tied\": 3}").find("tied") != std::string::npos);
  CHECK(spec_error("{}").find("egmla.attention.kind") != std::string::npos);
  CHECK(spec_error("[1]") != "");
  CHECK(spec_error("{") != "");
}
