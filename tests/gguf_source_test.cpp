// GGUF files of other programs as sources of models: what their keys become, what is refused, both layouts of W_UKV, and
// several files. tests/python/test_import.py holds their logits against transformers'.
#include "gguf_source.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "half.h"
#include "pack.h"
#include "sentences.h"
#include "variants.h"

using namespace pith::internal;
using namespace pith::quantize;
using namespace pith::test;

namespace {

using Bytes = std::vector<uint8_t>;
using Keys = std::function<void(GgufWriter*)>;

constexpr int32_t kWidth = 64, kLayers = 2, kFeedForward = 96, kVocab = 40;
constexpr int32_t kHeads = 4, kContent = 32, kRope = 8, kValue = 24, kLatent = 32;

struct Random {
  std::mt19937 engine;
  std::vector<float> floats(size_t n) {
    std::normal_distribution<float> normal;
    std::vector<float> out(n);
    for (float& x : out) x = normal(engine);
    return out;
  }
};

void add(GgufWriter* out, Random* random, const std::string& name, std::vector<uint64_t> dims) {
  size_t n = 1;
  for (const uint64_t dim : dims) n *= size_t(dim);
  out->add_tensor_f32(name, dims, random->floats(n));
}

std::string layer_name(int32_t layer, const char* name) {
  return "blk." + std::to_string(layer) + "." + name + ".weight";
}

void add_common(GgufWriter* out, const std::string& a) {
  out->add_string("general.architecture", a);
  out->add_string("general.name", "a model");
  out->add_u32("general.file_type", 7);
  out->add_u32(a + ".block_count", kLayers);
  out->add_u32(a + ".embedding_length", kWidth);
  out->add_u32(a + ".feed_forward_length", kFeedForward);
  out->add_u32(a + ".context_length", 256);
  out->add_u32(a + ".attention.head_count", kHeads);
  out->add_f32(a + ".attention.layer_norm_rms_epsilon", 1e-5f);
}

void add_layer(GgufWriter* out, Random* random, int32_t n) {
  for (const char* name : {"attn_norm", "ffn_norm"}) add(out, random, layer_name(n, name), {kWidth});
  for (const char* name : {"ffn_gate", "ffn_up"}) add(out, random, layer_name(n, name), {kWidth, kFeedForward});
  add(out, random, layer_name(n, "ffn_down"), {kFeedForward, kWidth});
}

// Architecture `a` with grouped heads: 4 of queries, 2 of keys.
Bytes grouped_file(const std::string& a, const Keys& more = {}) {
  Random random{std::mt19937(1)};
  GgufWriter out;
  add_common(&out, a);
  out.add_u32(a + ".attention.head_count_kv", 2);
  if (more) more(&out);
  add(&out, &random, "token_embd.weight", {kWidth, kVocab});
  add(&out, &random, "output_norm.weight", {kWidth});
  for (int32_t n = 0; n < kLayers; ++n) {
    add_layer(&out, &random, n);
    add(&out, &random, layer_name(n, "attn_q"), {kWidth, kWidth});
    for (const char* name : {"attn_k", "attn_v"}) add(&out, &random, layer_name(n, name), {kWidth, kWidth / 2});
    add(&out, &random, layer_name(n, "attn_output"), {kWidth, kWidth});
    if (a != "qwen3") continue;
    for (const char* name : {"attn_q_norm", "attn_k_norm"}) add(&out, &random, layer_name(n, name), {kWidth / kHeads});
  }
  return out.bytes();
}

// W_UKV of a head: d_n rows of keys, then d_v of values, of r numbers.
std::vector<float> up_projection(Random* random) {
  return random->floats(size_t(kHeads * (kContent + kValue) * kLatent));
}

void add_halves(GgufWriter* out, int32_t n, const std::vector<float>& w) {
  std::vector<float> k, v;
  for (int32_t h = 0; h < kHeads; ++h) {
    const float* head = w.data() + h * (kContent + kValue) * kLatent;
    for (int32_t i = 0; i < kLatent; ++i) {
      for (int32_t row = 0; row < kContent; ++row) k.push_back(head[row * kLatent + i]);
    }
    v.insert(v.end(), head + kContent * kLatent, head + (kContent + kValue) * kLatent);
  }
  out->add_tensor_f32(layer_name(n, "attn_k_b"), {kContent, kLatent, kHeads}, k);
  out->add_tensor_f32(layer_name(n, "attn_v_b"), {kLatent, kValue, kHeads}, v);
}

using Halves = std::function<void(GgufWriter*, int32_t layer)>;

Bytes latent_file(bool is_split, const Keys& more = {}, const Keys& tensors = {}, const Halves& halves = {}) {
  const std::string a = "deepseek2";
  Random random{std::mt19937(2)};
  GgufWriter out;
  add_common(&out, a);
  out.add_u32(a + ".attention.kv_lora_rank", kLatent);
  out.add_u32(a + ".rope.dimension_count", kRope);
  out.add_u32(a + ".attention.head_count_kv", is_split ? 1 : kHeads);
  out.add_u32(a + ".attention.key_length", is_split ? kLatent + kRope : kContent + kRope);
  out.add_u32(a + ".attention.value_length", is_split ? kLatent : kValue);
  if (is_split) {
    out.add_u32(a + ".attention.key_length_mla", kContent + kRope);
    out.add_u32(a + ".attention.value_length_mla", kValue);
  }
  if (more) more(&out);
  add(&out, &random, "token_embd.weight", {kWidth, kVocab});
  add(&out, &random, "output_norm.weight", {kWidth});
  for (int32_t n = 0; n < kLayers; ++n) {
    add_layer(&out, &random, n);
    add(&out, &random, layer_name(n, "attn_q"), {kWidth, kHeads * (kContent + kRope)});
    add(&out, &random, layer_name(n, "attn_kv_a_mqa"), {kWidth, kLatent + kRope});
    add(&out, &random, layer_name(n, "attn_kv_a_norm"), {kLatent});
    add(&out, &random, layer_name(n, "attn_output"), {kHeads * kValue, kWidth});
    const std::vector<float> w = up_projection(&random);
    if (halves) halves(&out, n);
    else if (is_split) add_halves(&out, n, w);
    else out.add_tensor_f32(layer_name(n, "attn_kv_b"), {kLatent, kHeads * (kContent + kValue)}, w);
  }
  if (tensors) tensors(&out);
  return out.bytes();
}

Config config_of(const Bytes& file) { return GgufSource({{file.data(), file.size()}}).config(); }

std::string refusal(const Bytes& file) {
  return thrown_by([&] { pack_model(file.data(), file.size(), pack_options("")); });
}

}  // namespace

TEST_CASE("keys of other programs' files become the configuration") {
  const Config llama = config_of(grouped_file("llama", [](GgufWriter* out) {
    out->add_f32("llama.rope.freq_base", 5e5f);
    out->add_u32("llama.rope.dimension_count", kWidth / kHeads);
    out->add_u32("llama.expert_count", 0);
  }));
  CHECK(llama.is_mha());
  CHECK(llama.rope_interleaved);
  CHECK(llama.n_kv_heads == 2);
  CHECK(llama.value_width == kWidth / kHeads);
  CHECK(llama.vocab_size == kVocab);
  CHECK(llama.rope_base == 5e5f);
  CHECK(llama.block_norm_epsilon == 1e-5f);
  CHECK(llama.head_norm == HeadNorm::none);
  const Config qwen3 = config_of(grouped_file("qwen3"));
  CHECK(!qwen3.rope_interleaved);
  CHECK(qwen3.head_norm == HeadNorm::rms);
  CHECK(qwen3.q_norm_epsilon == 1e-5f);
  for (const bool is_split : {false, true}) {
    const Config c = config_of(latent_file(is_split, [](GgufWriter* out) {
      out->add_string("deepseek2.rope.scaling.type", "yarn");
      out->add_f32("deepseek2.rope.scaling.factor", 40);
      out->add_u32("deepseek2.rope.scaling.original_context_length", 64);
      out->add_f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707f);
      out->add_u32("deepseek2.leading_dense_block_count", kLayers);
      out->add_u32("deepseek2.expert_count", 64);  // of no layer
    }));
    CHECK(!c.is_mha());
    CHECK(c.content_width == kContent);
    CHECK(c.value_width == kValue);
    CHECK(c.rope_width == kRope);
    CHECK(c.latent_width == kLatent);
    CHECK(c.query_latent_width == 0);
    CHECK(c.rope_scaling == RopeScaling::yarn);
    CHECK(c.yarn_log_multiplier == 0.0707f);
    CHECK(c.kv_norm_epsilon == 1e-6f);
  }
}

TEST_CASE("both layouts of the up-projection give the same packed model") {
  const Bytes whole = latent_file(false), halves = latent_file(true);
  const auto packed = [](const Bytes& file) { return pack_model(file.data(), file.size(), pack_options("q8")); };
  CHECK(packed(whole) == packed(halves));
}

// A block of Q8_0: a scale in fp16, 32 integers.
TEST_CASE("halves of an up-projection in blocks are read as their weights in float") {
  std::mt19937 random(4);
  const auto file = [&](bool is_float) {
    random.seed(4);
    return latent_file(true, {}, {}, [&](GgufWriter* out, int32_t n) {
      for (const bool is_k : {true, false}) {
        const size_t size = size_t(kHeads * kLatent * (is_k ? kContent : kValue));
        auto bytes = std::make_shared<Bytes>();
        std::vector<float> floats;
        for (size_t block = 0; block < size / 32; ++block) {
          const uint16_t d = float_to_half(0.01f + 0.001f * float(random() % 16));
          bytes->insert(bytes->end(), {uint8_t(d), uint8_t(d >> 8)});
          for (int i = 0; i < 32; ++i) {
            const int q = int(random() % 255) - 127;
            bytes->push_back(uint8_t(q));
            floats.push_back(half_to_float(d) * float(q));
          }
        }
        const std::string name = layer_name(n, is_k ? "attn_k_b" : "attn_v_b");
        const std::vector<uint64_t> dims =
            is_k ? std::vector<uint64_t>{kContent, kLatent, kHeads} : std::vector<uint64_t>{kLatent, kValue, kHeads};
        if (is_float) out->add_tensor_f32(name, dims, floats);
        else
          out->add_tensor(name, TensorType::q8_0, dims,
                          [bytes](uint8_t* to) { std::copy(bytes->begin(), bytes->end(), to); });
      }
    });
  };
  const Bytes blocks = file(false), floats = file(true);
  CHECK(blocks.size() < floats.size());
  CHECK(pack_model(blocks.data(), blocks.size(), pack_options("f32")) ==
        pack_model(floats.data(), floats.size(), pack_options("f32")));
}

TEST_CASE("a model in several files gives the same packed model") {
  const Bytes whole = grouped_file("llama");
  const OpenFile open(whole.data(), whole.size());
  std::vector<Bytes> parts;
  for (uint32_t no = 0; no < 3; ++no) {
    GgufWriter out;
    if (no == 0) {
      for (size_t i = 0; i < open.file.n_meta(); ++i) out.add_entry(open.file.meta(i));
    }
    out.add_array_u8("nothing", {});
    GgufWriter::Fill fill;
    const auto add_u16 = [&](const char* key, uint16_t x) {
      const uint8_t bytes[] = {uint8_t(x), uint8_t(x >> 8)};
      out.add_raw(key, uint32_t(GgufType::u16), bytes);
    };
    add_u16("split.no", uint16_t(no));
    add_u16("split.count", 3);
    out.add_i32("split.tensors.count", int32_t(open.file.n_tensors()));
    for (size_t i = no; i < open.file.n_tensors(); i += 3) {
      const TensorEntry& t = open.file.tensor(i);
      out.add_tensor(t.name, t.type, {t.dims, t.dims + t.n_dims}, {t.data, size_t(t.bytes)});
    }
    parts.push_back(out.bytes());
  }
  std::vector<FileBytes> files;
  for (uint32_t no = 0; no < 3; ++no)
    files.push_back({parts[no].data(), parts[no].size(), "m-0000" + std::to_string(no + 1) + "-of-00003.gguf"});
  Bytes packed, of_whole;
  const GgufSource source(files), one({{whole.data(), whole.size()}});
  pack_model(source, pack_options("q4"), into(&packed));
  pack_model(one, pack_options("q4"), into(&of_whole));
  const OpenFile a(packed.data(), packed.size()), b(of_whole.data(), of_whole.size());
  REQUIRE(a.file.n_tensors() == b.file.n_tensors());
  for (size_t i = 0; i < a.file.n_tensors(); ++i) {
    const TensorEntry &x = a.file.tensor(i), &y = b.file.tensor(i);
    CHECK(x.name == y.name);
    CHECK(Bytes(x.data, x.data + x.bytes) == Bytes(y.data, y.data + y.bytes));
  }
  files.pop_back();
  CHECK_THROWS_WITH(GgufSource{files}, doctest::Contains("split.count"));
}

TEST_CASE("what describes the file stays behind, the rest comes along") {
  const Bytes file = grouped_file("llama", [](GgufWriter* out) {
    out->add_string("tokenizer.chat_template", "{{ messages }}");
    out->add_string("quantize.imatrix.file", "imatrix");
    out->add_u32("general.quantization_version", 2);
    out->add_f32("egmla.logit_scale", 3);  // no key of this file's model
    out->add_string("tokenizer.ggml.model", "gpt2");
    out->add_u32("tokenizer.ggml.bos_token_id", 1);
  });
  const Bytes packed = pack_model(file.data(), file.size(), pack_options(""));
  const OpenFile open(packed.data(), packed.size());
  for (const char* key : {"general.name", "tokenizer.chat_template", "egmla.block_count", "pith.packed.version"})
    CHECK_MESSAGE(open.file.find_meta(key) != nullptr, key);
  bool leads = true;
  CHECK(open.file.get_bool("tokenizer.ggml.add_bos_token", &leads, nullptr, nullptr) == PITH_OK);
  CHECK(!leads);  // said, where llama.cpp would take it for granted
  CHECK(open.config().logit_scale == 1);
  for (const char* key : {"llama.block_count", "quantize.imatrix.file", "general.file_type"})
    CHECK_MESSAGE(open.file.find_meta(key) == nullptr, key);
}

namespace {

std::vector<std::string> names(size_t n) {
  std::vector<std::string> out;
  for (size_t i = 0; i < n; ++i) out.push_back(std::to_string(i));
  return out;
}

}  // namespace

TEST_CASE("rows without a token get one that nothing makes") {
  const auto with_tokens = [](size_t n, bool has_types) {
    return grouped_file("llama", [=](GgufWriter* out) {
      out->add_string("tokenizer.ggml.model", "llama");
      out->add_array_of_strings("tokenizer.ggml.tokens", names(n));
      out->add_array_f32("tokenizer.ggml.scores", std::vector<float>(n, -2));
      if (has_types) out->add_array_i32("tokenizer.ggml.token_type", std::vector<int32_t>(n, 1));
    });
  };
  for (const bool has_types : {true, false}) {
    CAPTURE(has_types);
    const Bytes file = with_tokens(size_t(kVocab) - 3, has_types);
    const Bytes packed = pack_model(file.data(), file.size(), pack_options(""));
    const OpenFile open(packed.data(), packed.size());
    std::vector<std::string> tokens;
    for (StringArray stored(*open.file.find_meta("tokenizer.ggml.tokens")); stored.left() > 0;)
      tokens.emplace_back(stored.next());
    std::vector<std::string> expected = names(size_t(kVocab) - 3);
    for (const char* pad : {"[PAD37]", "[PAD38]", "[PAD39]"}) expected.push_back(pad);
    CHECK(tokens == expected);
    const MetaEntry* types = open.file.find_meta("tokenizer.ggml.token_type");
    const MetaEntry* scores = open.file.find_meta("tokenizer.ggml.scores");
    REQUIRE(types->count == uint64_t(kVocab));
    REQUIRE(scores->count == uint64_t(kVocab));
    for (int32_t id = 0; id < kVocab; ++id) {
      const bool is_pad = id >= kVocab - 3;
      int32_t type;
      float score;
      std::memcpy(&type, types->value + 4 * id, 4);
      std::memcpy(&score, scores->value + 4 * id, 4);
      CHECK(type == (is_pad ? 5 : 1));
      CHECK(score == (is_pad ? -1000.0f : -2.0f));
    }
    const std::vector<std::string> notices = GgufSource({{file.data(), file.size()}}).notices();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0] == "3 rows of token_embd.weight have no token: they are named [PAD37] and so on");
  }
  const Bytes whole = with_tokens(size_t(kVocab), true);
  CHECK(refusal(whole) == "");
  CHECK(GgufSource({{whole.data(), whole.size()}}).notices().empty());
  CHECK(refusal(with_tokens(size_t(kVocab) + 1, true)) ==
        "key tokenizer.ggml.tokens: 41 tokens, but tensor token_embd.weight has 40 rows");
}

TEST_CASE("a file that pith would run wrongly is refused by name") {
  const auto with = [](const Keys& keys) { return refusal(grouped_file("llama", keys)); };
  CHECK(with({}) == "");  // the control
  CHECK(contains(refusal(grouped_file("gemma3")), "general.architecture: \"gemma3\" is not one of egmla, llama"));
  const auto u32 = [&](const std::string& key, uint32_t value) {
    return with([&](GgufWriter* out) { out->add_u32("llama." + key, value); });
  };
  CHECK(contains(u32("expert_count", 8), "llama.expert_count: mixtures of experts (8 of them)"));
  CHECK(contains(u32("attention.sliding_window", 128), "llama.attention.sliding_window"));
  CHECK(u32("attention.sliding_window", 256) == "");  // as long as the context
  CHECK(contains(u32("attention.value_length", 8), "llama.attention.value_length"));
  CHECK(contains(u32("rope.dimension_count", 8), "llama.rope.dimension_count"));
  CHECK(contains(u32("attention.head_count_kv", 3), "head_count_kv"));
  CHECK(contains(u32("embedding_length", 0), "embedding_length"));
  CHECK(contains(u32("attention.head_count", 0), "head_count"));
  CHECK(contains(u32("context_length", 0xffffffffu), "llama.context_length: 4294967295 is out of range"));
  CHECK(contains(u32("something.new", 1), "llama.something.new: not known to this version"));
  CHECK(u32("something.new", 0) == "");
  CHECK(contains(with([](GgufWriter* out) { out->add_string("llama.rope.scaling.type", "dynamic"); }), "\"dynamic\""));
  CHECK(contains(with([](GgufWriter* out) { out->add_string("llama.block_count", "two"); }), "llama.block_count"));
  CHECK(contains(with([](GgufWriter* out) {
                   out->add_array_i32("llama.feed_forward_length", {96, 97});
                 }),
                 "llama.feed_forward_length: layers that differ"));
  CHECK(with([](GgufWriter* out) { out->add_array_i32("llama.feed_forward_length", {96, 96}); }) == "");
  const float one[] = {1};
  CHECK(contains(with([&](GgufWriter* out) { out->add_tensor_f32("blk.0.attn_sinks.weight", {1}, one); }),
                 "tensor blk.0.attn_sinks.weight: not a tensor of this configuration"));
  CHECK(contains(with([](GgufWriter* out) { out->add_string("llama.rope.scaling.type", "longrope"); }),
                 "tensor rope_factors_short.weight: missing"));
  const float divisors[] = {1, 1, 1, 1, 2, 2, 2, 2};
  CHECK(contains(with([&](GgufWriter* out) {
                   out->add_tensor_f32("rope_freqs.weight", {8}, divisors);
                   out->add_string("llama.rope.scaling.type", "linear");
                   out->add_f32("llama.rope.scaling.factor", 2);
                 }),
                 "tensor rope_freqs.weight: with another scaling"));
  CHECK(with([&](GgufWriter* out) { out->add_tensor_f32("rope_freqs.weight", {8}, divisors); }) == "");
  CHECK(contains(with([&](GgufWriter* out) { out->add_tensor_f32("rope_freqs.weight", {1}, one); }),
                 "tensor rope_freqs.weight: 1 elements for 8 pairs"));
}

TEST_CASE("halves of an up-projection that do not fit are refused") {
  CHECK(refusal(latent_file(true)) == "");  // the control
  const float x[kLatent * kContent * kHeads] = {};
  const Bytes file = latent_file(true, {}, [&](GgufWriter* out) {
    out->add_tensor_f32("blk.0.attn_kv_b.weight", {kLatent, kHeads * kContent}, x);
  });
  CHECK(contains(refusal(file), "tensor blk.0.attn_kv_b.weight: 128 x 32"));
  const Bytes wide = latent_file(
      true, [](GgufWriter* out) { out->add_u32("deepseek2.attention.key_length_mla", kContent + 8 + kRope); });
  CHECK(contains(refusal(wide), "tensor blk.0.attn_"));
  const Bytes both = latent_file(false, {}, [&](GgufWriter* out) {  // as some converters write them
    Random random{std::mt19937(3)};
    for (int32_t n = 0; n < kLayers; ++n) add_halves(out, n, up_projection(&random));
  });
  CHECK(pack_model(both.data(), both.size(), pack_options("q8")) ==
        pack_model(latent_file(false).data(), latent_file(false).size(), pack_options("q8")));
  const Bytes narrow =
      latent_file(true, [](GgufWriter* out) { out->add_u32("deepseek2.attention.key_length_mla", kRope); });
  CHECK(contains(refusal(narrow), "deepseek2.attention.key_length: 8 with a rotary part of 8"));
}

TEST_CASE("a quantised matrix that folding multiplies does not keep its codes") {
  SynthSpec spec = all_variants()[0];
  spec.config.n_heads = spec.config.n_kv_heads = 4;  // whole blocks of columns
  REQUIRE(spec.config.gate == Gate::up);
  const Bytes plain = synth_float(spec);
  const OpenFile open(plain.data(), plain.size());
  const std::string name = layer_name(1, "attn_output");
  const auto file = [&](bool is_float) {
    GgufWriter out;
    for (size_t i = 0; i < open.file.n_meta(); ++i) out.add_entry(open.file.meta(i));
    for (size_t i = 0; i < open.file.n_tensors(); ++i) {
      const TensorEntry& t = open.file.tensor(i);
      const std::vector<uint64_t> dims(t.dims, t.dims + t.n_dims);
      if (t.name != name) {
        out.add_tensor(t.name, t.type, dims, {t.data, size_t(t.bytes)});
        continue;
      }
      const size_t n_blocks = size_t(t.bytes) / 4 / 32;
      const auto floats = std::make_shared<std::vector<float>>();
      const auto bytes = std::make_shared<Bytes>();
      std::mt19937 random(5);
      for (size_t block = 0; block < n_blocks; ++block) {
        const uint16_t d = float_to_half(0.001f * float(1 + random() % 16));
        bytes->insert(bytes->end(), {uint8_t(d), uint8_t(d >> 8)});
        for (int j = 0; j < 32; ++j) {
          bytes->push_back(uint8_t(random() % 127));
          floats->push_back(half_to_float(d) * float(bytes->back()));
        }
      }
      if (is_float) out.add_tensor_f32(t.name, dims, *floats);
      else
        out.add_tensor(t.name, TensorType::q8_0, dims,
                       [bytes](uint8_t* to) { std::copy(bytes->begin(), bytes->end(), to); });
    }
    return out.bytes();
  };
  const auto packed = [&](const Bytes& from, const char* type) {
    return pack_model(from.data(), from.size(), pack_options(type));
  };
  const Bytes a = packed(file(false), ""), b = packed(file(true), "q8");
  const OpenFile kept(a.data(), a.size()), rounded(b.data(), b.size());
  const TensorEntry &x = *kept.file.find_tensor(name), &y = *rounded.file.find_tensor(name);
  CHECK(Bytes(x.data, x.data + x.bytes) == Bytes(y.data, y.data + y.bytes));
}

TEST_CASE("any flipped byte of the keys gives a model or a sentence") {
  const uint32_t seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const Bytes good = latent_file(true);
  size_t header = 0;
  {
    const OpenFile open(good.data(), good.size());
    header = size_t(open.file.tensor(0).data - good.data());
  }
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    Bytes bad = good;
    bad[random() % header] ^= uint8_t(1 << random() % 8);
    refused += refusal(bad).empty() ? 0 : 1;
  }
  CHECK(refused > 100);
}
