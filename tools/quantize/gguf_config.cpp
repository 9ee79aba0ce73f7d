#include "gguf_config.h"

#include <cmath>
#include <set>
#include <stdexcept>
#include <string>

#include <fmt/core.h>

#include "architectures.h"
#include "metadata_writer.h"
#include "open_file.h"

namespace pith::quantize {
namespace {

// Keys that say nothing of the forward pass of a dense model, after "architecture.".
constexpr const char* kHarmless[] = {"attention.layer_norm_epsilon",
                                     "expert_feed_forward_length",
                                     "expert_gating_func",
                                     "expert_group_count",
                                     "expert_group_used_count",
                                     "expert_shared_count",
                                     "expert_used_count",
                                     "expert_weights_norm",
                                     "expert_weights_scale",
                                     "rope.scaling.finetuned",
                                     "tensor_data_layout",
                                     "vocab_size"};  // the embedding has as many rows

// Reads the keys of one architecture; what has been read is known.
class Keys {
 public:
  Keys(const ModelFile& file, std::string_view architecture) : file_(file), prefix_(std::string(architecture) + ".") {}

  std::string full(const char* name) const { return prefix_ + name; }
  bool has(const char* name) const { return file_.find_meta(full(name)) != nullptr; }

  int32_t integer(const char* name, int64_t otherwise) {
    const MetaEntry* entry = take(name);
    if (entry == nullptr) return int32_t(otherwise);
    return entry->type == GgufType::array ? uniform(*entry) : int32_t(bounded(name));
  }
  int32_t integer(const char* name) {
    if (!has(name)) throw std::runtime_error(fmt::format("key {}: missing", full(name)));
    return integer(name, 0);
  }
  float real(const char* name, float otherwise) {
    take(name);
    double value = double(otherwise);
    pith_error error{};
    check(file_.get_float(full(name), &value, nullptr, &error), error);
    return float(value);
  }
  std::string word(const char* name, const char* otherwise) {
    take(name);
    std::string_view value = otherwise;
    pith_error error{};
    check(file_.get_string(full(name), &value, nullptr, &error), error);
    return std::string(value);
  }
  bool flag(const char* name, bool otherwise) {
    take(name);
    bool value = otherwise;
    pith_error error{};
    check(file_.get_bool(full(name), &value, nullptr, &error), error);
    return value;
  }
  [[noreturn]] void refuse(const char* name, const std::string& reason) const {
    throw std::runtime_error(fmt::format("key {}: {}", full(name), reason));
  }

  // A key of the architecture that nobody has read would silently change what the model means, unless it says nothing: 0,
  // or false.
  void refuse_unknown() {
    for (const char* name : kHarmless) known_.insert(full(name));
    for (size_t i = 0; i < file_.n_meta(); ++i) {
      const MetaEntry& entry = file_.meta(i);
      const std::string key(entry.key);
      if (key.starts_with(prefix_) && !known_.contains(key) && !is_nothing(entry))
        throw std::runtime_error(fmt::format("key {}: not known to this version, and may change the result", key));
    }
  }

 private:
  const MetaEntry* take(const char* name) {
    known_.insert(full(name));
    return file_.find_meta(full(name));
  }

  uint64_t bounded(const char* name) const {
    uint64_t value = 0;
    pith_error error{};
    check(file_.get_uint(full(name), &value, nullptr, &error), error);
    if (value > uint64_t(INT32_MAX)) refuse(name, fmt::format("{} is out of range", value));
    return value;
  }

  // Some files have a number for every layer: pith's layers are alike.
  int32_t uniform(const MetaEntry& entry) const {
    const bool is_integer = entry.element_type == GgufType::i32 || entry.element_type == GgufType::u32;
    if (!is_integer || entry.count == 0)
      throw std::runtime_error(fmt::format("key {}: neither an integer nor one for every layer", entry.key));
    const int32_t first = read_le<int32_t>(entry.value);
    for (uint64_t i = 1; i < entry.count; ++i) {
      if (read_le<int32_t>(entry.value + 4 * i) != first)
        throw std::runtime_error(fmt::format("key {}: layers that differ are not supported", entry.key));
    }
    if (first < 0) throw std::runtime_error(fmt::format("key {}: {} is out of range", entry.key, first));
    return first;
  }

  static bool is_nothing(const MetaEntry& entry) {
    if (entry.type == GgufType::string || entry.type == GgufType::array) return false;
    for (size_t i = 0; i < entry.value_bytes; ++i) {
      if (entry.value[i] != 0) return false;
    }
    return true;
  }

  const ModelFile& file_;
  const std::string prefix_;
  std::set<std::string> known_;
};

void read_heads(Keys* in, Config* c) {
  c->n_heads = in->integer("attention.head_count");
  c->n_kv_heads = in->integer("attention.head_count_kv", c->n_heads);
  const int32_t head = c->n_heads == 0 ? 0 : c->width / c->n_heads;
  c->value_width = in->integer("attention.key_length", head);
  c->rope_width = in->integer("rope.dimension_count", c->value_width);
  if (in->integer("attention.value_length", c->value_width) != c->value_width)
    in->refuse("attention.value_length", "values of another width than keys are not supported");
  if (c->rope_width != c->value_width)
    in->refuse("rope.dimension_count", "heads of which a part rotates are not supported");
}

// Written in two layouts: with the widths of heads in key_length_mla and value_length_mla, where key_length and value_length
// are those of the cache; or with the widths of heads in key_length and value_length. A width that is absent is d / n_h.
void read_latent(Keys* in, Config* c) {
  c->n_heads = c->n_kv_heads = in->integer("attention.head_count");
  const int32_t kv_heads = in->integer("attention.head_count_kv", c->n_heads);
  if (kv_heads != 1 && kv_heads != c->n_heads)
    in->refuse("attention.head_count_kv", fmt::format("{} with latent attention", kv_heads));
  c->latent_width = in->integer("attention.kv_lora_rank");
  c->query_latent_width = in->integer("attention.q_lora_rank", 0);
  c->rope_width = in->integer("rope.dimension_count");
  const int32_t head = c->n_heads == 0 ? 0 : c->width / c->n_heads;
  const int32_t key = in->integer("attention.key_length", head), value = in->integer("attention.value_length", head);
  const int32_t key_length = in->integer("attention.key_length_mla", key);
  if (key_length <= c->rope_width)
    in->refuse("attention.key_length", fmt::format("{} with a rotary part of {}", key_length, c->rope_width));
  c->content_width = key_length - c->rope_width;
  c->value_width = in->integer("attention.value_length_mla", value);
}

// DeepSeek-V2's multiplies scores by the square of 1 + yarn_log_multiplier ln(factor); the others' cosines and sines by
// 1 + 0.1 ln(factor), which comes to the same where all of a head rotates.
void read_yarn(const Architecture& a, Keys* in, Config* c) {
  const bool is_latent = a.attention == AttentionKind::latent;
  if (is_latent && std::string_view(a.gguf) != "deepseek2")
    in->refuse("rope.scaling.type", "\"yarn\" is not known for this architecture");
  if (is_latent && !in->has("rope.scaling.yarn_log_multiplier"))
    in->refuse("rope.scaling.yarn_log_multiplier", "missing, with \"yarn\"");
  if (in->real("rope.scaling.yarn_ext_factor", 1) != 1 || in->real("rope.scaling.yarn_attn_factor", 1) != 1)
    in->refuse("rope.scaling.yarn_attn_factor", "factors other than 1 are not supported");
  c->rope_scaling = RopeScaling::yarn;
  c->rope_factor = in->real("rope.scaling.factor", 1);
  c->rope_original_context = in->integer("rope.scaling.original_context_length");
  c->yarn_log_multiplier = in->real("rope.scaling.yarn_log_multiplier", 0.1f);
  c->yarn_beta_fast = in->real("rope.scaling.yarn_beta_fast", 32);
  c->yarn_beta_slow = in->real("rope.scaling.yarn_beta_slow", 1);
}

// Tensors with what frequencies are divided by are the source's business (gguf_source.cpp).
void read_rope(const Architecture& a, Keys* in, GgufConfig* out) {
  Config* c = &out->config;
  c->rope_interleaved = a.interleaved_in_gguf;
  c->rope_base = in->real("rope.freq_base", a.rope_base);
  const std::string scaling = in->word("rope.scaling.type", "none");
  if (scaling == "yarn") read_yarn(a, in, c);
  else if (scaling == "linear") out->rope_divisor = in->real("rope.scaling.factor", 1);
  else if (scaling != "none" && scaling != "longrope")
    in->refuse("rope.scaling.type", fmt::format("\"{}\" is not known to this version", scaling));
  if (!(out->rope_divisor >= 1)) in->refuse("rope.scaling.factor", "is below 1");
  out->has_long_factors = c->context_length > in->integer("rope.scaling.original_context_length", c->context_length);
  out->needs_factors = scaling == "longrope";
  if (in->real("rope.scale_linear", 1) != 1) in->refuse("rope.scale_linear", "this old key is not supported");
  if (in->real("rope.scaling.attn_factor", 1) != 1)
    in->refuse("rope.scaling.attn_factor", "a factor of cosines and sines is not supported");
}

// MiniCPM3's GGUF has no scales; the model's own are constants of llama.cpp's graph, from MiniCPM3-4B's config.json
// (scale_emb, scale_depth, dim_model_base). LongRoPE's magnitude is 1: the file has no factor.
void set_minicpm3_scales(Config* c) {
  constexpr float kEmbedding = 12, kDepth = 1.4f, kModelBase = 256;
  c->embedding_scale = kEmbedding;
  c->residual_scale = kDepth / std::sqrt(float(c->n_layers));
  c->logit_scale = kModelBase / float(c->width);
}

// Layers after the last predict further tokens; the number of layers counts them.
void read_extra_layers(Keys* in, GgufConfig* out) {
  out->n_extra_layers = in->integer("nextn_predict_layers", 0);
  if (out->n_extra_layers >= out->config.n_layers)
    in->refuse("nextn_predict_layers", fmt::format("{} of {} layers", out->n_extra_layers, out->config.n_layers));
  out->config.n_layers -= out->n_extra_layers;
}

// Files from before the key: DeepSeek-V2's scores are softmaxes, and only sigmoids have corrections.
ExpertGating gating_of(Keys* in, bool has_corrections) {
  constexpr int32_t kUnsaid = 0, kSoftmax = 1, kSigmoid = 2;  // llama.cpp's numbers
  const int32_t gating = in->integer("expert_gating_func", kUnsaid);
  if (gating == kSoftmax || (gating == kUnsaid && !has_corrections)) return ExpertGating::softmax;
  if (gating == kSigmoid || gating == kUnsaid) return ExpertGating::sigmoid;
  in->refuse("expert_gating_func", fmt::format("{} is not known to this version; 1 and 2 are", gating));
}

// Where every layer is dense, the other keys say nothing.
void read_experts(Keys* in, bool has_corrections, Config* c) {
  const int32_t n_experts = in->integer("expert_count", 0);
  const int32_t n_dense = in->integer("leading_dense_block_count", 0);
  if (n_experts == 0 || n_dense >= c->n_layers) return;
  c->n_experts = n_experts;
  c->n_dense_layers = n_dense;
  c->n_used_experts = in->integer("expert_used_count");
  c->n_shared_experts = in->integer("expert_shared_count", 0);
  c->expert_width = in->integer("expert_feed_forward_length");
  c->n_expert_groups = in->integer("expert_group_count", 1);
  c->n_used_expert_groups = in->integer("expert_group_used_count", c->n_expert_groups);
  c->expert_gating = gating_of(in, has_corrections);
  c->expert_weights_norm = in->flag("expert_weights_norm", false);
  const float scale = in->real("expert_weights_scale", 1);
  c->expert_weights_scale = scale == 0 ? 1 : scale;  // as llama.cpp understands it
}

void refuse_experts(Keys* in) {
  const int32_t experts = in->integer("expert_count", 0);
  if (experts != 0)
    in->refuse("expert_count",
               fmt::format("mixtures of experts ({} of them) are not supported for this architecture", experts));
}

}  // namespace

GgufConfig config_of_gguf(const ModelFile& file, const GgufTensorFacts& tensors) {
  std::string_view name;
  pith_error error{};
  check(file.get_string("general.architecture", &name, nullptr, &error), error);
  const Architecture* a = find_gguf_architecture(name);
  if (a == nullptr)
    throw std::runtime_error(fmt::format("key general.architecture: \"{}\" is not one of egmla, {}", name.substr(0, 64),
                                         gguf_architecture_list()));
  Keys in(file, name);
  GgufConfig out;
  Config& c = out.config;
  c.attention = a->attention;
  c.feed_forward = a->feed_forward;
  c.head_norm = a->head_norm;
  c.n_layers = in.integer("block_count");
  if (name == "deepseek2") read_extra_layers(&in, &out);
  c.width = in.integer("embedding_length");
  c.feed_forward_width = in.integer("feed_forward_length");
  c.context_length = in.integer("context_length");
  if (!in.has("attention.layer_norm_rms_epsilon")) in.refuse("attention.layer_norm_rms_epsilon", "missing");
  c.block_norm_epsilon = in.real("attention.layer_norm_rms_epsilon", 0);  // latents have 1e-6 whatever it is
  if (a->head_norm == HeadNorm::rms) c.q_norm_epsilon = c.block_norm_epsilon;
  const uint64_t rows = tensors.embedding_rows;
  if (rows == 0 || rows > uint64_t(INT32_MAX))
    throw std::runtime_error(fmt::format("tensor token_embd.weight: {} rows", rows));
  c.vocab_size = int32_t(rows);
  if (a->attention == AttentionKind::mha) read_heads(&in, &c);
  else read_latent(&in, &c);
  read_rope(*a, &in, &out);
  if (name == "minicpm3") set_minicpm3_scales(&c);
  if (name == "deepseek2") read_experts(&in, tensors.has_corrections, &c);
  else refuse_experts(&in);
  if (!in.flag("attention.causal", true)) in.refuse("attention.causal", "attention to later tokens is not supported");
  const int32_t window = in.integer("attention.sliding_window", 0);
  if (window != 0 && window < c.context_length)
    in.refuse("attention.sliding_window", "sliding windows inside a layer are not supported");
  in.refuse_unknown();
  c = checked_config(c);
  return out;
}

}  // namespace pith::quantize
