#include "hf_config.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>

#include <fmt/core.h>

#include "architectures.h"
#include "hf_keys.h"
#include "hf_rope.h"
#include "metadata_writer.h"

namespace pith::quantize {
namespace {

// They say nothing about the logits: training, generation, other programs, and what follows from other keys.
constexpr const char* kHarmless[] = {"_attn_implementation",
                                     "_attn_implementation_autoset",
                                     "_flash_attn_2_enabled",
                                     "_name_or_path",
                                     "architectures",
                                     "attention_dropout",
                                     "attn_implementation",
                                     "attn_pdrop",
                                     "auto_map",
                                     "aux_loss_alpha",
                                     "bos_token_id",
                                     "chunk_size_feed_forward",
                                     "classifier_dropout",
                                     "decoder_start_token_id",
                                     "dtype",
                                     "embd_pdrop",
                                     "embedding_initializer_range",
                                     "eos_token_id",
                                     "ep_size",
                                     "finetuning_task",
                                     "hidden_dropout",
                                     "id2label",
                                     "initializer_range",
                                     "is_decoder",
                                     "is_encoder_decoder",
                                     "is_llama_config",
                                     "label2id",
                                     "max_window_layers",
                                     "output_attentions",
                                     "output_hidden_states",
                                     "output_router_logits",
                                     "pad_token_id",
                                     "pretraining_tp",
                                     "problem_type",
                                     "resid_pdrop",
                                     "return_dict",
                                     "router_aux_loss_coef",
                                     "sep_token_id",
                                     "seq_aux",
                                     "task_specific_params",
                                     "tokenizer_class",
                                     "torch_dtype",
                                     "transformers.js_config",
                                     "transformers_version",
                                     "unk_token_id",
                                     "use_cache",
                                     "use_flash_attention",
                                     "use_return_dict"};

// Of mixtures of experts: nothing of them matters where every layer is dense.
constexpr const char* kExpertKeys[] = {"first_k_dense_replace",
                                       "mlp_layer_types",
                                       "moe_intermediate_size",
                                       "moe_layer_freq",
                                       "n_group",
                                       "n_shared_experts",
                                       "norm_topk_prob",
                                       "num_experts_per_tok",
                                       "num_shared_experts",
                                       "routed_scaling_factor",
                                       "scoring_func",
                                       "topk_group",
                                       "topk_method"};

// Parts of the names of keys that may well change the forward pass.
constexpr const char* kMeaningful[] = {
    "activ",  "alibi", "attention",  "attn",    "bias",     "clip",   "compress", "conv",        "embed",
    "expert", "gate",  "head",       "hidden",  "index",    "layer",  "logit",    "lora",        "mla",
    "mlp",    "moe",   "multiplier", "norm",    "position", "quant",  "residual", "rope",        "rotary",
    "router", "scal",  "sliding",    "softcap", "softmax",  "sparse", "ssm",      "temperature", "window"};

bool says_no(const json::Document& value) {
  return value.is_null() || (value.is_boolean() && !value.boolean()) ||
         (value.is_array() && value.elements().empty()) || (value.is_object() && value.members().empty());
}

bool is_meaningful(std::string_view name) {
  const auto is_part = [&](const char* part) { return name.find(part) != std::string_view::npos; };
  return std::any_of(std::begin(kMeaningful), std::end(kMeaningful), is_part);
}

// Reads config.json into the keys of a model file.
class HfConfigReader {
 public:
  explicit HfConfigReader(const json::Document& document)
      : from_(document), architecture_(find_architecture()), type_(architecture_.model_type) {}

  HfConfig read() {
    read_shape();
    if (is_latent()) read_latent_attention();
    else read_grouped_attention();
    read_norms();
    read_feed_forward();
    read_scales();
    read_experts();
    refuse_windows();
    HfRope rope(&from_, architecture_.attention, architecture_.rope_base, &keys_);
    check_the_rest();
    out_.config = config_from_json(keys_);
    out_.rope_divisors = rope.divisors(out_.config);
    if (out_.config.rope_scaling == RopeScaling::longrope &&
        out_.config.context_length > out_.config.rope_original_context)
      out_.notices.push_back(fmt::format("LongRoPE's long factors hold from the first token on, not from {} tokens on",
                                         out_.config.rope_original_context));
    return std::move(out_);
  }

 private:
  bool is_latent() const { return architecture_.attention == AttentionKind::latent; }

  const Architecture& find_architecture() {
    const std::string type = from_.string("model_type", "");
    const Architecture* found = find_model_type(type);
    if (found == nullptr)
      from_.refuse("model_type",
                   fmt::format("{} is not supported; pith reads {}", json::quoted(type), model_type_list()));
    return *found;
  }

  void read_shape() {
    const std::pair<const char*, const char*> same[] = {{"num_hidden_layers", "block_count"},
                                                        {"hidden_size", "embedding_length"},
                                                        {"num_attention_heads", "attention.head_count"},
                                                        {"intermediate_size", "feed_forward_length"},
                                                        {"vocab_size", "vocab_size"},
                                                        {"max_position_embeddings", "context_length"}};
    for (const auto& [theirs, ours] : same) keys_[ours] = from_.natural(theirs);
    keys_["attention.kind"] = is_latent() ? "latent" : "mha";
    n_layers_ = double(from_.natural("num_hidden_layers"));
    width_ = from_.natural("hidden_size");
    n_heads_ = from_.natural("num_attention_heads");
    if (const json::Document* tied = from_.find("tie_word_embeddings")) {
      if (!tied->is_boolean()) from_.refuse("tie_word_embeddings", "is neither true nor false");
      out_.is_tied = tied->boolean();
    }
    const uint64_t extra = from_.natural("num_nextn_predict_layers", from_.natural("num_mtp_layers", 0));
    out_.n_extra_layers = int32_t(std::min<uint64_t>(extra, 1024));
  }

  // The width of a head where no key says it.
  uint64_t width_per_head(const char* name) {
    if (n_heads_ == 0 || width_ % n_heads_ != 0)
      from_.refuse(name, fmt::format("missing, and hidden_size is not a multiple of the {} heads", n_heads_));
    return width_ / n_heads_;
  }

  void read_grouped_attention() {
    const bool is_llama = type_ == "llama";
    const bool is_said = from_.find("head_dim") != nullptr || type_ == "qwen3";  // qwen3's differs from the quotient
    keys_["attention.value_length"] = is_said ? from_.natural("head_dim") : width_per_head("head_dim");
    keys_["attention.head_count_kv"] =
        is_llama ? from_.natural("num_key_value_heads", n_heads_) : from_.natural("num_key_value_heads");
    keys_["rope.interleaved"] = architecture_.interleaved_in_hugging_face;
    const bool has_bias = from_.boolean("attention_bias", false);
    if (type_ == "qwen2") out_.biased = {"attn_q", "attn_k", "attn_v"};  // always, whatever attention_bias says
    else if (has_bias) out_.biased = {"attn_q", "attn_k", "attn_v", "attn_output"};
  }

  void read_latent_attention() {
    keys_["attention.kv_lora_rank"] = from_.natural("kv_lora_rank");
    keys_["attention.key_length_content"] = from_.natural("qk_nope_head_dim");
    keys_["rope.dimension_count"] = from_.natural("qk_rope_head_dim");
    const bool is_said = from_.find("v_head_dim") != nullptr || type_ != "minicpm3";
    keys_["attention.value_length"] = is_said ? from_.natural("v_head_dim") : width_per_head("v_head_dim");
    const uint64_t query_latent = from_.natural("q_lora_rank", 0);
    if (query_latent != 0) keys_["attention.q_lora_rank"] = query_latent;
    keys_["rope.interleaved"] = from_.boolean("rope_interleave", architecture_.interleaved_in_hugging_face);
    // Every head has a key of its own, whatever these say.
    for (const char* name : {"num_key_value_heads", "head_dim", "qk_head_dim"}) from_.pass_over(name);
    if (from_.boolean("attention_bias", false)) out_.biased = {"attn_q_a", "attn_kv_a_mqa", "attn_output"};
  }

  // The norms of latents are made without rms_norm_eps: their epsilon is that of transformers' RMS norms, 1e-6.
  void read_norms() {
    const double epsilon = from_.number("rms_norm_eps");
    keys_["block_norm_epsilon"] = epsilon;
    keys_["attention.q_norm_epsilon"] = is_latent() ? 1e-6 : epsilon;
    if (architecture_.head_norm == HeadNorm::rms) keys_["attention.head_norm"] = "rms";
  }

  void read_feed_forward() {
    const bool is_gated = architecture_.feed_forward == FeedForward::swiglu;
    const std::string wanted = is_gated ? "silu" : "relu2";
    const std::string activation = from_.string("hidden_act", wanted);
    const bool is_same = activation == wanted || (is_gated && activation == "swish");
    if (!is_same)
      from_.refuse("hidden_act",
                   fmt::format("{} is not supported for {}; {} is", json::quoted(activation), type_, wanted));
    keys_["feed_forward.kind"] = is_gated ? "swiglu" : "relu2";
    if (!from_.boolean("mlp_bias", false)) return;
    if (is_gated) out_.biased.push_back("ffn_gate");
    out_.biased.insert(out_.biased.end(), {"ffn_up", "ffn_down"});
  }

  // Source: transformers, MiniCPM3Config and the model of it.
  void read_scales() {
    if (type_ != "minicpm3") return;
    keys_["embedding_scale"] = from_.number("scale_emb", 12.0);
    keys_["residual_scale"] = from_.number("scale_depth") / std::sqrt(n_layers_);
    keys_["logit_scale"] = from_.number("dim_model_base") / double(width_);
  }

  // The number of experts, under any of its names; 0: none. `name` becomes the one that says it.
  uint64_t n_experts(const char** name) {
    for (const char* candidate : {"n_routed_experts", "num_experts", "num_local_experts"}) {
      const json::Document* n = from_.find(candidate);
      if (n == nullptr || says_no(*n) || (n->is_natural() && n->natural() == 0)) continue;
      *name = candidate;
      return from_.natural(candidate);
    }
    return 0;
  }

  // DeepSeek-V2, DeepSeek-V3 (whose way Moonlight, Kimi-K2 and GLM-4.7-Flash take too), in the words of transformers'
  // modeling files. Where every layer is dense, the keys say nothing.
  void read_experts() {
    const char* name = "n_routed_experts";
    const uint64_t experts = n_experts(&name);
    const uint64_t n_dense = n_dense_layers();
    if (experts != 0 && architecture_.gguf != std::string_view("deepseek2"))
      from_.refuse(name, fmt::format("mixtures of experts are not supported for {}", type_));
    if (experts != 0 && double(n_dense) < n_layers_) {
      keys_["expert_count"] = experts;
      keys_["leading_dense_block_count"] = n_dense;
      keys_["expert_used_count"] = from_.natural("num_experts_per_tok");
      keys_["expert_shared_count"] = from_.natural("n_shared_experts", 0);
      keys_["expert_feed_forward_length"] = from_.natural("moe_intermediate_size");
      keys_["expert_weights_scale"] = from_.number("routed_scaling_factor");
      if (from_.natural("moe_layer_freq", 1) != 1) from_.refuse("moe_layer_freq", "is not 1");
      read_choice();
    }
    for (const char* key : kExpertKeys) from_.pass_over(key);
  }

  void read_choice() {
    const bool is_v2 = type_ == "deepseek_v2";
    require_word("scoring_func", is_v2 ? "softmax" : "sigmoid");
    keys_["expert_gating_func"] = is_v2 ? "softmax" : "sigmoid";
    const std::string method = from_.string("topk_method", is_v2 ? "greedy" : "noaux_tc");
    const bool has_groups = method == (is_v2 ? "group_limited_greedy" : "noaux_tc");
    if (!has_groups && !(is_v2 && method == "greedy"))
      from_.refuse("topk_method", fmt::format("{} is not supported for {}", json::quoted(method), type_));
    if (has_groups) {
      keys_["expert_group_count"] = from_.natural("n_group");
      keys_["expert_group_used_count"] = from_.natural("topk_group");
    }
    const bool is_normed = from_.boolean("norm_topk_prob", !is_v2);
    // Its two published implementations differ there: one ignores it, one then leaves the factor out.
    if (is_v2 && is_normed) from_.refuse("norm_topk_prob", fmt::format("true is not supported for {}", type_));
    keys_["expert_weights_norm"] = is_normed;
  }

  void require_word(const char* name, const std::string& wanted) {
    const std::string found = from_.string(name, wanted);
    if (found != wanted)
      from_.refuse(name, fmt::format("{} is not supported for {}; {} is", json::quoted(found), type_, wanted));
  }

  // Said by first_k_dense_replace, or layer by layer, or both.
  uint64_t n_dense_layers() {
    const uint64_t said = from_.natural("first_k_dense_replace", type_ == "glm4_moe_lite" ? 1 : 0);
    const json::Document* types = from_.find("mlp_layer_types");
    if (types == nullptr) return said;
    if (!types->is_array()) from_.refuse("mlp_layer_types", "is not an array");
    uint64_t n_dense = 0, n = 0;
    for (const json::Document& type : types->elements()) {
      if (type != "dense" && type != "sparse")
        from_.refuse("mlp_layer_types", fmt::format("{} is not supported", json::quoted(type.shown())));
      if (type == "dense" && n_dense != n) from_.refuse("mlp_layer_types", "a dense layer after one with experts");
      n_dense += type == "dense" ? 1 : 0;
      ++n;
    }
    if (double(n) != n_layers_) from_.refuse("mlp_layer_types", fmt::format("{} words for {} layers", n, n_layers_));
    if (from_.find("first_k_dense_replace") != nullptr && said != n_dense)
      from_.refuse("mlp_layer_types", fmt::format("{} dense layers, first_k_dense_replace {}", n_dense, said));
    return n_dense;
  }

  void refuse_windows() {
    if (const json::Document* types = from_.find("layer_types")) {
      if (!types->is_array()) from_.refuse("layer_types", "is not an array");
      for (const json::Document& type : types->elements()) {
        if (type != "full_attention")
          from_.refuse("layer_types", fmt::format("{} is not supported", json::quoted(type.shown())));
      }
    }
    if (!type_.starts_with("qwen")) return;
    const bool has_window = from_.boolean("use_sliding_window", false);
    const json::Document* window = from_.find("sliding_window");
    if (has_window && window != nullptr) from_.refuse("use_sliding_window", "sliding windows are not supported");
  }

  void check_the_rest() {
    for (const char* name : kHarmless) from_.pass_over(name);
    if (from_.find("quantization_config") != nullptr)
      from_.refuse("quantization_config", "quantised checkpoints are not read; take the one that holds floats");
    std::string passed_over;
    for (const json::Document::Member* member : from_.unread()) {
      if (says_no(member->second)) continue;
      if (is_meaningful(member->first)) from_.refuse(member->first, fmt::format("is not understood for {}", type_));
      passed_over += (passed_over.empty() ? "" : ", ") + json::quoted(member->first);
    }
    if (!passed_over.empty()) out_.notices.push_back("unknown keys were passed over: " + passed_over);
  }

  HfKeys from_;
  const Architecture& architecture_;
  std::string type_;
  json::Document keys_ = json::Document::object();  // of the model file, without "egmla."
  double n_layers_ = 0;
  uint64_t width_ = 0, n_heads_ = 0;
  HfConfig out_;
};

}  // namespace

HfConfig read_hf_config(const json::Document& document) { return HfConfigReader(document).read(); }

}  // namespace pith::quantize
