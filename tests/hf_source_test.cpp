// Hugging Face folders as sources of models: the numbers of every tensor, packed as those of a float GGUF are, and what a
// folder may not do.
#include "hf_source.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <stdexcept>

#include "open_file.h"
#include "pack.h"
#include "random_model.h"
#include "raw_safetensors.h"
#include "sentences.h"
#include "variants.h"

using namespace pith;
using namespace pith::quantize;
using namespace pith::test;

namespace {

// A model, and the same as a folder says it.
struct Subject {
  const char* name;
  SynthSpec spec;
  std::string config;                        // config.json
  std::map<std::string, std::string> names;  // of a layer's tensors, without the endings
};

const std::map<std::string, std::string> kGroupedNames = {
    {"attn_norm", "input_layernorm"}, {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},   {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},    {"ffn_up", "mlp.up_proj"},           {"ffn_down", "mlp.down_proj"}};
const std::map<std::string, std::string> kLatentNames = {{"attn_norm", "input_layernorm"},
                                                         {"attn_q", "self_attn.q_proj"},
                                                         {"attn_q_a", "self_attn.q_a_proj"},
                                                         {"attn_q_a_norm", "self_attn.q_a_layernorm"},
                                                         {"attn_q_b", "self_attn.q_b_proj"},
                                                         {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
                                                         {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
                                                         {"attn_kv_b", "self_attn.kv_b_proj"},
                                                         {"attn_output", "self_attn.o_proj"},
                                                         {"ffn_norm", "post_attention_layernorm"},
                                                         {"ffn_gate", "mlp.gate_proj"},
                                                         {"ffn_up", "mlp.up_proj"},
                                                         {"ffn_down", "mlp.down_proj"}};

const std::string kShape = R"("num_hidden_layers": 3, "hidden_size": 48, "intermediate_size": 72, "vocab_size": 300,
  "max_position_embeddings": 256, "rms_norm_eps": 1e-6, )";
const std::string kLatent = kShape + R"("num_attention_heads": 3, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
  "qk_rope_head_dim": 8, "v_head_dim": 16, )";

Subject with_experts() {
  std::map<std::string, std::string> names = kLatentNames;
  names.insert({{"ffn_gate_inp", "mlp.gate"},
                {"exp_probs_b", "mlp.gate.e_score_correction_bias"},
                {"ffn_gate_exps", "mlp.experts.#.gate_proj"},
                {"ffn_up_exps", "mlp.experts.#.up_proj"},
                {"ffn_down_exps", "mlp.experts.#.down_proj"},
                {"ffn_gate_shexp", "mlp.shared_experts.gate_proj"},
                {"ffn_up_shexp", "mlp.shared_experts.up_proj"},
                {"ffn_down_shexp", "mlp.shared_experts.down_proj"}});
  Subject out{
      "experts", expert_spec("experts", ExpertGating::sigmoid),
      R"({"model_type": "deepseek_v3", "q_lora_rank": null, )" + kLatent +
          R"("tie_word_embeddings": true, "first_k_dense_replace": 1, "n_routed_experts": 8, "n_shared_experts": 2,
                       "num_experts_per_tok": 2, "moe_intermediate_size": 40, "n_group": 4, "topk_group": 2,
                       "routed_scaling_factor": 1.5, "norm_topk_prob": true})",
      names};
  Config& c = out.spec.config;
  c.n_shared_experts = 2;
  c.n_expert_groups = 4;
  c.n_used_expert_groups = 2;
  c.expert_weights_norm = true;
  c.expert_weights_scale = 1.5f;
  return out;
}

std::vector<Subject> subjects() {
  Subject llama{"llama, biases, untied", pith::test::small_spec("llama"),
                R"({"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, )" +
                    kShape + R"("attention_bias": true, "mlp_bias": true, "rope_theta": 10000})",
                kGroupedNames};
  set_mha(&llama.spec.config, 4, 2);
  llama.spec.config.rope_interleaved = false;
  llama.spec.biases = true;
  llama.spec.tied = false;
  Subject deepseek{
      "deepseek, tied", pith::test::small_spec("deepseek"),
      R"({"model_type": "deepseek_v3", "q_lora_rank": null, )" + kLatent + R"("tie_word_embeddings": true})",
      kLatentNames};
  Subject yarn{
      "low-rank query, yarn, halves", pith::test::small_spec("yarn"),
      R"({"model_type": "deepseek_v3", "q_lora_rank": 40, "rope_interleave": false, )" + kLatent +
          R"("rope_scaling": {"type": "yarn", "factor": 8, "original_max_position_embeddings": 32, "mscale": 0.7,
                       "mscale_all_dim": 0.7}})",
      kLatentNames};
  yarn.spec.config.query_latent_width = 40;
  yarn.spec.config.rope_interleaved = false;
  set_scaling(&yarn.spec.config, RopeScaling::yarn, 8, 32);
  yarn.spec.config.yarn_log_multiplier = 0.07f;
  Subject plm{"plm", pith::test::small_spec("plm"),
              R"({"model_type": "plm", "hidden_act": "relu2", "q_lora_rank": null, )" + kLatent +
                  R"("rope_theta": 100000.0, "tie_word_embeddings": true})",
              kLatentNames};
  plm.spec.config.feed_forward = FeedForward::relu2;
  plm.spec.config.rope_base = 100000;
  return {llama, deepseek, yarn, plm, with_experts()};
}

std::string folder_name(const Subject& subject, const std::string& ours, uint64_t matrix = 0) {
  const std::map<std::string, std::string> model = {
      {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
  const size_t dot = ours.rfind('.');
  const std::string stem = ours.substr(0, dot), ending = ours.substr(dot);
  if (!ours.starts_with("blk.")) return model.at(stem) + ending;
  const size_t after = stem.find('.', 4);
  std::string name = "model.layers." + stem.substr(4, after - 4) + "." + subject.names.at(stem.substr(after + 1));
  if (name.ends_with("e_score_correction_bias")) return name;
  if (const size_t number = name.find('#'); number != std::string::npos)
    name.replace(number, 1, std::to_string(matrix));
  return name + ending;
}

// The tensors of a float GGUF under the folder's names.
std::vector<RawStored> stored_tensors(const Subject& subject, const Bytes& floats) {
  const Block aligned = block_of(floats.data(), floats.size());
  const OpenFile in(aligned.get(), floats.size());
  std::vector<RawStored> out;
  for (size_t i = 0; i < in.file.n_tensors(); ++i) {
    const TensorEntry& t = in.file.tensor(i);
    if (t.name == "output.bias") continue;  // folders have none
    std::vector<uint64_t> shape(t.dims, t.dims + std::min(t.n_dims, 2));
    const uint64_t bytes = t.bytes / t.dims[2];  // of one of a stack
    for (uint64_t matrix = 0; matrix < t.dims[2]; ++matrix)
      out.push_back({folder_name(subject, std::string(t.name), matrix),
                     "F32",
                     {shape.rbegin(), shape.rend()},
                     Bytes(t.data + matrix * bytes, t.data + (matrix + 1) * bytes)});
  }
  return out;
}

Bytes pack_source(const ModelSource& source) {
  Bytes out;
  pack_model(source, pack_options("f32"), into(&out));
  return out;
}

// A folder of the first subject that a case may spoil.
struct Folder {
  TemporaryFolder files;
  Subject subject = subjects()[1];
  std::vector<RawStored> tensors;
  Folder() {
    subject.spec.seed = 1;
    tensors = stored_tensors(subject, synth_float(subject.spec));
    files.write("config.json", subject.config);
    save();
  }
  void save() const { files.write("model.safetensors", safetensors_of(tensors)); }
  RawStored& tensor(const std::string& name) {
    for (RawStored& t : tensors) {
      if (t.name == name) return t;
    }
    throw std::logic_error("no tensor " + name);
  }
  void drop(const std::string& name) {
    std::erase_if(tensors, [&](const RawStored& t) { return t.name == name; });
  }
  // Two files and an index of them. `map` may change what the index says of a tensor.
  void shard(const std::function<std::string(const std::string&, const std::string&)>& map = {}) const {
    const size_t half = tensors.size() / 2;
    files.remove("model.safetensors");
    files.write("one.safetensors", safetensors_of({tensors.begin(), tensors.begin() + int64_t(half)}));
    files.write("two.safetensors", safetensors_of({tensors.begin() + int64_t(half), tensors.end()}));
    std::string index;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const std::string file = i < half ? "one.safetensors" : "two.safetensors";
      index += (i == 0 ? "\"" : ", \"") + tensors[i].name + "\": \"" + (map ? map(tensors[i].name, file) : file) + "\"";
    }
    files.write("model.safetensors.index.json", R"({"metadata": {"total_size": 1}, "weight_map": {)" + index + "}}");
  }
  std::string refusal() const {
    return thrown_by([&] {
      const std::unique_ptr<ModelSource> source = open_hugging_face(files.path());
      pack_source(*source);
    });
  }
};

}  // namespace

TEST_CASE("a folder packs to the bytes that the same model as a float GGUF does") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (Subject subject : subjects()) {
    CAPTURE(subject.name);
    RandomModel model(subject.spec, seed);
    const TemporaryFolder folder;
    folder.write("config.json", subject.config);
    folder.write("model.safetensors", safetensors_of(stored_tensors(subject, model.floats), seed % 4));
    const std::unique_ptr<ModelSource> source = open_hugging_face(folder.path());
    REQUIRE(source->notices().size() == 1);  // it has no tokenizer
    const Bytes ours = pack_source(*source), theirs = model.packed("f32");
    const Runtime a(ours), b(theirs);
    const Config &x = source->config(), &y = subject.spec.config;
    CHECK(x.rope_interleaved == y.rope_interleaved);
    CHECK(x.feed_forward == y.feed_forward);
    CHECK(x.n_kv_heads == y.n_kv_heads);
    const std::vector<int32_t> ids = model.random_ids(40);
    const auto own = all_logits(a.model, ids, exact_options());
    auto expected = all_logits(b.model, ids, exact_options());
    if (subject.spec.biases) {  // of the output: folders have none
      const OpenFile in(model.floats.data(), model.floats.size());
      const TensorEntry* bias = in.file.find_tensor(std::string_view("output.bias"));
      REQUIRE(bias != nullptr);
      for (auto& row : expected) {
        for (size_t i = 0; i < row.size(); ++i) row[i] -= read_le<float>(bias->data + 4 * i);
      }
      for (size_t t = 0; t < own.size(); ++t) CHECK(relative_error(own[t], as_vector(expected[t])) < 1e-6);
    } else {
      for (size_t t = 0; t < own.size(); ++t) CHECK(same_bits(own[t], expected[t]));
    }
  }
}

TEST_CASE("rows of a tensor are loaded as they are stored, by ranges") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  Folder folder;
  folder.subject.spec.seed = seed;
  folder.tensors = stored_tensors(folder.subject, synth_float(folder.subject.spec));
  for (const bool in_shards : {false, true}) {
    folder.save();
    if (in_shards) folder.shard();
    const std::unique_ptr<ModelSource> source = open_hugging_face(folder.files.path());
    TensorList list(source->config());
    TensorSpec spec;
    size_t n_read = 0;
    while (list.next(&spec)) {
      if (!source->has(spec)) continue;
      ++n_read;
      CHECK(hugging_face_name(spec) == folder_name(folder.subject, spec.name));
      CHECK(source->bits_per_weight(spec) == 32);
      const Bytes& stored = folder.tensor(folder_name(folder.subject, spec.name)).data;
      const int64_t first = spec.rows / 3, n = std::max(spec.rows / 2, 1);
      std::vector<float> rows(size_t(n) * size_t(spec.cols));
      source->load_rows(spec, first, n, rows.data());
      CHECK(std::memcmp(rows.data(), stored.data() + size_t(first) * size_t(spec.cols) * 4, rows.size() * 4) == 0);
    }
    CHECK(n_read == folder.tensors.size());
  }
}

TEST_CASE("what a folder may have beside its tensors") {
  Folder folder;
  REQUIRE(folder.refusal() == "");
  folder.tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {4}, Bytes(16)});
  RawStored output = folder.tensor("model.embed_tokens.weight");
  output.name = "lm_head.weight";
  folder.tensors.push_back(output);  // tied, and the embedding again
  folder.save();
  CHECK(folder.refusal() == "");
  // A further layer that predicts tokens, where config.json says so.
  folder.tensors.push_back({"model.layers.3.eh_proj.weight", "BF16", {2}, Bytes(4)});
  folder.save();
  CHECK(folder.refusal().find("model.layers.3.eh_proj.weight") != std::string::npos);
  std::string config = folder.subject.config;
  config.insert(1, "\"num_nextn_predict_layers\": 1, ");
  folder.files.write("config.json", config);
  CHECK(folder.refusal() == "");
}

TEST_CASE("hostile folders") {
  const auto write = [](const char* name, const std::string& text) {
    return [=](Folder* f) { f->files.write(name, text); };
  };
  const auto spoil = [](const char* tensor, const std::function<void(RawStored*)>& change) {
    return [=](Folder* f) {
      change(&f->tensor(tensor));
      f->save();
    };
  };
  const char* const kQuery = "model.layers.1.self_attn.q_proj.weight";
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const struct {
    const char* what;
    std::function<void(Folder*)> change;
    const char* sentence;
  } cases[] = {
      {"no config.json", [](Folder* f) { f->files.remove("config.json"); }, "config.json: missing"},
      {"an empty config.json", write("config.json", ""), "config.json"},
      {"a config.json that is no JSON", write("config.json", "{"), "config.json"},
      {"a config.json with a key twice", write("config.json", R"({"a": 1, "a": 2})"), "twice"},
      {"no tensors", [](Folder* f) { f->files.remove("model.safetensors"); }, "model.safetensors.index.json is there"},
      {"a .bin file alone",
       [](Folder* f) {
         f->files.remove("model.safetensors");
         f->files.write("pytorch_model.bin", std::string("PK"));
       },
       ".bin files are not read"},
      {"an empty safetensors file", write("model.safetensors", ""), "model.safetensors: is not"},
      {"a tensor less",
       [=](Folder* f) {
         f->drop(kQuery);
         f->save();
       },
       "model.layers.1.self_attn.q_proj.weight: missing"},
      {"a tensor more",
       [](Folder* f) {
         f->tensors.push_back({"model.layers.1.self_attn.q_proj.bias", "F32", {1}, Bytes(4)});
         f->save();
       },
       "model.layers.1.self_attn.q_proj.bias\": nothing reads it"},
      {"experts",
       [](Folder* f) {
         f->tensors.push_back({"model.layers.1.mlp.experts.0.up_proj.weight", "F32", {1}, Bytes(4)});
         f->save();
       },
       "mlp.experts.0.up_proj.weight"},
      {"another shape",
       spoil(kQuery,
             [](RawStored* t) {
               std::swap(t->shape[0], t->shape[1]);
               t->shape[0] *= 3;
               t->shape[1] /= 3;
             }),
       "config.json asks for 48 x 48"},
      {"one dimension", spoil(kQuery, [](RawStored* t) { t->shape = {48 * 48}; }), "config.json asks for 48 x 48"},
      {"a norm in two dimensions",
       spoil("model.norm.weight",
             [](RawStored* t) {
               t->shape = {1, 48};
             }),
       "model.norm.weight"},
      {"integers", spoil(kQuery, [](RawStored* t) { t->dtype = "I32"; }), "dtype I32"},
      {"a NaN", spoil(kQuery, [=](RawStored* t) { std::memcpy(t->data.data() + 4 * 77, &nan, 4); }),
       "element 77 is not finite"},
      {"an infinity", spoil("model.norm.weight", [=](RawStored* t) { std::memcpy(t->data.data(), &infinity, 4); }),
       "model.norm.weight\": element 0 is not finite"},
      {"an output matrix that is not the embedding",
       [](Folder* f) {
         RawStored output = f->tensor("model.embed_tokens.weight");
         output.name = "lm_head.weight";
         output.data[5] ^= 1;
         f->tensors.push_back(output);
         f->save();
       },
       "differs from model.embed_tokens.weight"},
      {"an output matrix of another shape",
       [](Folder* f) {
         f->tensors.push_back({"lm_head.weight", "F32", {1}, Bytes(4)});
         f->save();
       },
       "differs from model.embed_tokens.weight"},
      {"an index that is no index",
       [](Folder* f) {
         f->shard();
         f->files.write("model.safetensors.index.json", std::string("[]"));
       },
       "index.json"},
      {"an index of another folder",
       [](Folder* f) { f->shard([](const auto&, const auto&) { return "../two.safetensors"; }); }, "no name of a file"},
      {"an index of an absolute path",
       [](Folder* f) { f->shard([](const auto&, const auto&) { return "/etc/passwd"; }); }, "no name of a file"},
      {"an index with a NUL in a name",
       [](Folder* f) { f->shard([](const auto&, const std::string& file) { return file + "\\u0000"; }); },
       "no name of a file"},
      {"an index of a file that is missing",
       [](Folder* f) { f->shard([](const auto&, const auto&) { return "three"; }); }, "three"},
      {"an index of the wrong file",
       [](Folder* f) {
         f->shard([](const std::string& name, const std::string& file) {
           return name == "model.norm.weight" ? (file[0] == 'o' ? "two.safetensors" : "one.safetensors") : file;
         });
       },
       "\"model.norm.weight\" is not in"},
      {"a tensor in two files",
       [](Folder* f) {
         f->shard();
         f->files.write("two.safetensors", safetensors_of(f->tensors));
       },
       "in another file as well"},
      {"a shard that is cut",
       [](Folder* f) {
         f->shard();
         std::filesystem::resize_file(f->files.path() + "/two.safetensors", 500);
       },
       "two.safetensors"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.what);
    Folder folder;
    c.change(&folder);
    const std::string sentence = folder.refusal();
    CHECK_MESSAGE(sentence.find(c.sentence) != std::string::npos, sentence);
  }
  CHECK_THROWS_AS(open_hugging_face("/nowhere/at/all"), std::runtime_error);
}

TEST_CASE("malformed files of text cost the vocabulary and not the model") {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    Folder folder;
    folder.files.write(name, std::string("{\"a\": "));
    CHECK(folder.refusal() == "");
    const std::vector<std::string> notices = open_hugging_face(folder.files.path())->notices();
    REQUIRE(!notices.empty());
    CHECK(notices[0].find(name) != std::string::npos);
  }
}
