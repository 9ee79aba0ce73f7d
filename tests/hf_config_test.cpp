// config.json: what becomes of every key, and what is refused.
#include "hf_config.h"

#include <doctest/doctest.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "sentences.h"

using namespace pith::quantize;
using namespace pith::internal;
using namespace pith::test;
namespace json = pith::json;

namespace {

const char* kLlama =
    R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "vocab_size": 300,
  "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
  "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 50000, "rope_scaling": null,
  "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true})";

const char* kDeepseek = R"({"model_type": "deepseek_v3", "hidden_size": 64, "vocab_size": 300, "intermediate_size": 96,
  "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 32, "q_lora_rank": 40,
  "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 24, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
  "hidden_act": "silu", "first_k_dense_replace": 3, "n_routed_experts": 8, "moe_intermediate_size": 32,
  "topk_method": "noaux_tc", "scoring_func": "sigmoid", "num_nextn_predict_layers": 1,
  "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1,
                   "mscale": 1.0, "mscale_all_dim": 1.0}})";

const char* kExperts = R"({"model_type": "deepseek_v3", "hidden_size": 64, "vocab_size": 300, "intermediate_size": 96,
  "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 32, "q_lora_rank": 40,
  "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 24, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
  "hidden_act": "silu", "first_k_dense_replace": 1, "n_routed_experts": 8, "moe_intermediate_size": 32,
  "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 4, "topk_group": 2, "topk_method": "noaux_tc",
  "scoring_func": "sigmoid", "norm_topk_prob": true, "routed_scaling_factor": 2.5, "rope_theta": 10000})";

// The document with members of `changes` instead of its own; null removes one.
json::Document changed(const char* base, const std::string& changes) {
  json::Document document = json::Document::parse(base);
  const json::Document with = json::Document::parse(changes);
  for (const auto& [key, value] : with.members()) {
    document.remove(key);
    if (!value.is_null()) document[key] = value;
  }
  return document;
}

HfConfig read(const char* base, const std::string& changes = "{}") { return read_hf_config(changed(base, changes)); }

std::string refusal(const char* base, const std::string& changes) {
  return thrown_by([&] { read(base, changes); });
}

}  // namespace

TEST_CASE("the keys of experts become a configuration, each model type in its own way") {
  const Config& v3 = read(kExperts).config;
  CHECK(v3.n_experts == 8);
  CHECK(v3.n_used_experts == 2);
  CHECK(v3.n_shared_experts == 1);
  CHECK(v3.expert_width == 32);
  CHECK(v3.n_dense_layers == 1);
  CHECK(v3.n_expert_groups == 4);
  CHECK(v3.n_used_expert_groups == 2);
  CHECK(v3.expert_gating == ExpertGating::sigmoid);
  CHECK(v3.expert_weights_norm);
  CHECK(v3.expert_weights_scale == 2.5f);
  CHECK(!v3.has_experts(0));
  CHECK(v3.has_experts(1));
  const std::string v2 = R"({"model_type": "deepseek_v2", "scoring_func": "softmax", "norm_topk_prob": false, )";
  const Config& greedy = read(kExperts, v2 + R"("topk_method": "greedy"})").config;
  CHECK(greedy.expert_gating == ExpertGating::softmax);
  CHECK(greedy.n_expert_groups == 1);
  CHECK(!greedy.expert_weights_norm);
  CHECK(read(kExperts, v2 + R"("topk_method": "group_limited_greedy"})").config.n_expert_groups == 4);
  const Config& glm = read(kExperts, R"({"model_type": "glm4_moe_lite", "first_k_dense_replace": null, "n_group": 1,
                                         "topk_group": 1, "mlp_layer_types": ["dense", "dense", "sparse"]})")
                          .config;
  CHECK(glm.n_dense_layers == 2);
  CHECK(glm.n_expert_groups == 1);
  CHECK(read(kExperts, R"({"model_type": "kimi_k2"})").config.n_experts == 8);
  CHECK(read(kExperts, R"({"first_k_dense_replace": 3})").config.n_experts == 0);  // of no layer
  CHECK(read(kExperts, R"({"n_routed_experts": null})").config.n_experts == 0);
}

TEST_CASE("the keys of config.json become a configuration") {
  const HfConfig llama = read(kLlama);
  const Config& c = llama.config;
  CHECK(c.attention == AttentionKind::mha);
  CHECK(!c.rope_interleaved);
  CHECK(c.n_layers == 3);
  CHECK(c.width == 64);
  CHECK(c.n_heads == 4);
  CHECK(c.n_kv_heads == 2);
  CHECK(c.value_width == 16);
  CHECK(c.rope_width == 16);
  CHECK(c.feed_forward_width == 96);
  CHECK(c.vocab_size == 300);
  CHECK(c.context_length == 256);
  CHECK(c.block_norm_epsilon == 1e-5f);
  CHECK(c.rope_base == 50000);
  CHECK(c.rope_scaling == RopeScaling::none);
  CHECK(c.feed_forward == FeedForward::swiglu);
  CHECK(llama.is_tied == true);
  CHECK(llama.biased.empty());
  CHECK(llama.rope_divisors.empty());
  CHECK(llama.notices.empty());

  const HfConfig deepseek = read(kDeepseek);
  const Config& d = deepseek.config;
  CHECK(d.attention == AttentionKind::latent);
  CHECK(d.rope_interleaved);
  CHECK(d.latent_width == 32);
  CHECK(d.query_latent_width == 40);
  CHECK(d.content_width == 16);
  CHECK(d.rope_width == 8);
  CHECK(d.value_width == 24);
  CHECK(d.block_norm_epsilon == 1e-5f);
  CHECK(d.kv_norm_epsilon == 1e-6f);  // the latents' norms are made without rms_norm_eps
  CHECK(d.q_norm_epsilon == 1e-6f);
  CHECK(d.rope_scaling == RopeScaling::yarn);
  CHECK(d.rope_factor == 4);
  CHECK(d.rope_original_context == 64);
  CHECK(d.yarn_log_multiplier == 0.1f);
  CHECK(d.rope_base == 10000);
  CHECK(deepseek.n_extra_layers == 1);
  CHECK(!deepseek.is_tied);
  CHECK(!read(kDeepseek, R"({"rope_interleave": false})").config.rope_interleaved);
  CHECK(read(kDeepseek, R"({"q_lora_rank": null})").config.query_latent_width == 0);
}

TEST_CASE("what a model type says without a key") {
  CHECK(read(kLlama, R"({"head_dim": null, "num_key_value_heads": null})").config.value_width == 16);
  CHECK(read(kLlama, R"({"num_key_value_heads": null})").config.n_kv_heads == 4);
  CHECK(read(kLlama, R"({"model_type": "qwen2"})").biased.size() == 3);
  CHECK(read(kLlama, R"({"attention_bias": true, "mlp_bias": true})").biased.size() == 7);
  CHECK(read(kDeepseek, R"({"attention_bias": true})").biased.size() == 3);
  const Config qwen3 = read(kLlama, R"({"model_type": "qwen3", "head_dim": 24})").config;
  CHECK(qwen3.head_norm == HeadNorm::rms);
  CHECK(qwen3.q_norm_epsilon == 1e-5f);
  CHECK(qwen3.value_width == 24);
  const std::string scales =
      R"({"model_type": "minicpm3", "rope_scaling": null, "v_head_dim": null, "first_k_dense_replace": null,
                                 "n_routed_experts": null)";
  const Config scaled =
      read(kDeepseek, scales + R"(, "scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 256})").config;
  CHECK(scaled.embedding_scale == 12);
  CHECK(scaled.residual_scale == doctest::Approx(1.4 / std::sqrt(3)).epsilon(1e-7));
  CHECK(scaled.logit_scale == 4);
  CHECK(scaled.value_width == 16);
  CHECK(!scaled.rope_interleaved);
  CHECK(read(kDeepseek, scales + R"(, "scale_depth": 1.4, "dim_model_base": 256})").config.embedding_scale == 12);
  // transformers means another number by a key that is absent than by null.
  CHECK_THROWS_WITH(read(kDeepseek, scales + "}"), doctest::Contains("scale_depth"));
  const std::string plm =
      R"({"model_type": "plm", "hidden_act": "relu2", "rope_scaling": null, "first_k_dense_replace": null,
                              "n_routed_experts": null})";
  CHECK(read(kDeepseek, plm).config.feed_forward == FeedForward::relu2);
  CHECK(read(kDeepseek, plm).config.rope_base == 100000);
}

TEST_CASE("rotations: both spellings, and the divisors of every type") {
  const auto divisors = [](const std::string& parameters) {
    return read(kLlama,
                R"({"rope_theta": null, "max_position_embeddings": 131072, "num_attention_heads": 2, "head_dim": 64,
                            "rope_parameters": )" +
                    parameters + "}")
        .rope_divisors;
  };
  CHECK(divisors(R"({"rope_type": "default", "rope_theta": 5e5})").empty());
  const std::vector<float> linear = divisors(R"({"rope_type": "linear", "rope_theta": 5e5, "factor": 2.5})");
  CHECK(linear == std::vector<float>(32, 2.5f));

  // Llama 3.2's frequencies, computed by transformers.
  const std::string llama3 = R"("factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 8192)";
  const std::vector<float> scaled = divisors(R"({"rope_type": "llama3", "rope_theta": 5e5, )" + llama3 + "}");
  REQUIRE(scaled.size() == 32);
  const std::pair<int, double> published[] = {{0, 1},
                                              {14, 0.00321144611},
                                              {15, 0.00129054801},
                                              {16, 0.000429556705},
                                              {17, 9.70828623e-05},
                                              {18, 1.94616387e-05},
                                              {19, 1.29147675e-05},
                                              {31, 9.41830649e-08}};
  for (const auto& [pair, frequency] : published)
    CHECK(std::pow(5e5, -pair / 32.0) / scaled[size_t(pair)] == doctest::Approx(frequency).epsilon(1e-6));
  const HfConfig older =
      read(kLlama, R"({"rope_theta": 500000.0, "max_position_embeddings": 131072, "num_attention_heads": 2,
                                          "head_dim": 64, "rope_scaling": {"rope_type": "llama3", )" +
                       llama3 + "}}");
  CHECK(older.rope_divisors == scaled);

  const std::string longrope = R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 1.5, 2, 4],
    "long_factor": [2, 3, 4, 8], "original_max_position_embeddings": 64}, "max_position_embeddings": )";
  const HfConfig is_long = read(kDeepseek, longrope + "256}"), is_short = read(kDeepseek, longrope + "64}");
  CHECK(is_long.rope_divisors == std::vector<float>{2, 3, 4, 8});
  CHECK(is_long.config.rope_factor == 4);
  CHECK(is_long.notices.size() == 1);
  CHECK(is_short.rope_divisors == std::vector<float>{1, 1.5, 2, 4});
  CHECK(is_short.config.rope_factor == 1);
  CHECK(is_short.notices.empty());
}

TEST_CASE("keys that say nothing are passed over, and unknown ones told") {
  CHECK(read(kLlama, R"({"sliding_window": null, "some_attention_thing": false, "rope_interleaved": false})")
            .notices.empty());
  CHECK(read(kLlama, R"({"transformers.js_config": {"kv_cache_dtype": {"q4": "f16"}}, "quantization": {}})")
            .notices.empty());
  const HfConfig told = read(kLlama, R"({"favourite_colour": "red", "sofa": 4})");
  REQUIRE(told.notices.size() == 1);
  CHECK(told.notices[0].find("\"favourite_colour\", \"sofa\"") != std::string::npos);
  CHECK(read(kLlama,
             R"({"model_type": "qwen2", "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 2,
                         "layer_types": ["full_attention", "full_attention", "full_attention"]})")
            .notices.empty());
}

TEST_CASE("hostile config.json") {
  const struct {
    const char *base, *changes, *sentence;
  } cases[] = {
      {kLlama, R"({"model_type": "qwen3_moe"})", "\"qwen3_moe\" is not supported; pith reads llama, "},
      {kLlama, R"({"model_type": null})", "model_type"},
      {kLlama, R"({"model_type": 5})", "model_type"},
      {kLlama, R"({"model_type": "\u001b[2J"})", "\\u001b[2J"},
      {kLlama, R"({"hidden_size": null})", "\"hidden_size\": missing"},
      {kLlama, R"({"hidden_size": -64})", "hidden_size"},
      {kLlama, R"({"hidden_size": 64.5})", "hidden_size"},
      {kLlama, R"({"hidden_size": "64"})", "hidden_size"},
      {kLlama, R"({"hidden_size": [64]})", "hidden_size"},
      {kLlama, R"({"hidden_size": 18446744073709551615})", "hidden_size"},
      {kLlama, R"({"hidden_size": 4294967360})", "egmla.embedding_length: 4294967360 is not within"},
      {kLlama, R"({"num_hidden_layers": 0})", "egmla.block_count: 0 is not within"},
      {kLlama, R"({"num_hidden_layers": 1000000000})", "egmla.block_count"},
      {kLlama, R"({"num_attention_heads": 0, "head_dim": null})", "head_dim"},
      {kLlama, R"({"num_attention_heads": 5, "head_dim": null})", "head_dim"},
      {kLlama, R"({"num_attention_heads": 4096, "head_dim": 4096, "num_key_value_heads": 4096})",
       "attention.head_count"},
      {kLlama, R"({"num_key_value_heads": 3})", "egmla.attention.head_count_kv"},
      {kLlama, R"({"head_dim": 12})", "multiple of 8"},
      {kLlama, R"({"vocab_size": 4294967297})", "egmla.vocab_size"},
      {kLlama, R"({"max_position_embeddings": 0})", "egmla.context_length"},
      {kLlama, R"({"rms_norm_eps": 0})", "epsilon"},
      {kLlama, R"({"rms_norm_eps": -1e-5})", "epsilon"},
      {kLlama, R"({"rms_norm_eps": null})", "rms_norm_eps"},
      {kLlama, R"({"hidden_act": "gelu"})", "\"hidden_act\": \"gelu\" is not supported"},
      {kLlama, R"({"attention_bias": 1})", "attention_bias"},
      {kLlama, R"({"tie_word_embeddings": "yes"})", "tie_word_embeddings"},
      {kLlama, R"({"rope_theta": 0})", "egmla.rope.freq_base"},
      {kLlama, R"({"rope_theta": "big"})", "rope_theta"},
      {kLlama, R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor"},
      {kLlama, R"({"rope_scaling": 5})", "rope_scaling"},
      {kLlama, R"({"rope_scaling": {"type": "dynamic", "factor": 2}})", "\"dynamic\" is not supported"},
      {kLlama, R"({"rope_scaling": {"type": "mrope", "mrope_section": [1, 2]}})", "\"mrope\" is not supported"},
      {kLlama, R"({"rope_scaling": {"factor": 2}})", "factor"},
      {kLlama, R"({"rope_scaling": {"type": "linear", "factor": 0}})", "factor"},
      {kLlama, R"({"rope_scaling": {"type": "linear", "factor": 1e300}})", "factor"},
      {kLlama, R"({"rope_scaling": {"type": "linear", "factor": 2, "twist": 3}})", "rope_scaling.twist"},
      {kLlama, R"({"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "default"}})",
       "differs"},
      {kLlama, R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})",
       "rope_parameters.full_attention"},
      {kLlama, R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}})",
       "high_freq"},
      {kLlama, R"({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1}})",
       "high_freq_factor\": missing"},
      {kLlama, R"({"rope_scaling": {"type": "yarn", "factor": 4, "truncate": false}})", "truncate"},
      {kLlama, R"({"rope_scaling": {"type": "yarn", "factor": 4, "attention_factor": 0.5}})", "yarn_log_multiplier"},
      {kLlama, R"({"rope_scaling": {"type": "yarn", "factor": 1, "attention_factor": 2}})", "yarn_log_multiplier"},
      {kLlama, R"({"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 0}})",
       "original_context"},
      {kDeepseek, R"({"rope_scaling": {"type": "yarn", "factor": 4, "mscale": 1, "mscale_all_dim": 0.5}})", "mscale"},
      {kDeepseek, R"({"rope_scaling": {"type": "yarn", "factor": 4}})", "mscale"},
      {kDeepseek, R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1], "long_factor": [1, 1, 1],
                                       "original_max_position_embeddings": 64}})",
       "3 numbers for 4 pairs"},
      {kDeepseek, R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 0, 1, 1],
                                       "original_max_position_embeddings": 64}})",
       "not above 0"},
      {kDeepseek,
       R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 1e300, 1, 1],
                                       "original_max_position_embeddings": 64}})",
       "not above 0"},
      {kDeepseek, R"({"rope_scaling": {"type": "longrope", "short_factor": ["a"], "long_factor": 4}})", "short_factor"},
      {kDeepseek, R"({"rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [1, 1, 1, 1],
                                       "original_max_position_embeddings": 1}})",
       "original_context_length"},
      {kLlama, R"({"num_local_experts": 8})", "mixtures of experts are not supported for llama"},
      {kDeepseek, R"({"first_k_dense_replace": 2})", "num_experts_per_tok\": missing"},
      {kExperts, R"({"num_experts_per_tok": 0})", "expert_used_count: 0"},
      {kExperts, R"({"num_experts_per_tok": 9})", "expert_used_count: 9 of 8 experts"},
      {kExperts, R"({"num_experts_per_tok": 5})", "expert_used_count: 5 experts from 2 groups of 2"},
      {kExperts, R"({"num_experts_per_tok": 65, "n_routed_experts": 128})", "expert_used_count: 65"},
      {kExperts, R"({"n_routed_experts": 100000})", "expert_count: 100000"},
      {kExperts, R"({"n_routed_experts": 18446744073709551615})", "n_routed_experts"},
      {kExperts, R"({"n_routed_experts": -8})", "n_routed_experts"},
      {kExperts, R"({"n_group": 3})", "expert_group_count: 3 does not divide the 8 experts"},
      {kExperts, R"({"n_group": 0})", "expert_group_count: 0"},
      {kExperts, R"({"n_group": null})", "n_group\": missing"},
      {kExperts, R"({"topk_group": 5})", "expert_group_used_count: 5 of 4 groups"},
      {kExperts, R"({"moe_intermediate_size": 0})", "expert_feed_forward_length: 0"},
      {kExperts, R"({"moe_intermediate_size": 4294967296})", "expert_feed_forward_length: 4294967296"},
      {kExperts, R"({"n_shared_experts": 65})", "expert_shared_count: 65"},
      {kExperts, R"({"n_shared_experts": 64, "moe_intermediate_size": 1000000})", "expert_shared_count"},
      {kExperts, R"({"routed_scaling_factor": 1e300})", "expert_weights_scale"},
      {kExperts, R"({"routed_scaling_factor": null})", "routed_scaling_factor\": missing"},
      {kExperts, R"({"topk_method": "greedy"})", "topk_method"},
      {kExperts, R"({"scoring_func": "softmax"})", "scoring_func"},
      {kExperts, R"({"moe_layer_freq": 2})", "moe_layer_freq"},
      {kExperts, R"({"mlp_layer_types": ["dense", "sparse"]})", "2 words for 3 layers"},
      {kExperts, R"({"mlp_layer_types": ["dense", "sparse", "dense"]})", "a dense layer after"},
      {kExperts, R"({"mlp_layer_types": ["dense", "dense", "sparse"]})", "2 dense layers, first_k_dense_replace 1"},
      {kExperts, R"({"mlp_layer_types": ["dense", "sparse", "moe"]})", "mlp_layer_types"},
      {kExperts, R"({"mlp_layer_types": 3})", "is not an array"},
      {kExperts, R"({"model_type": "deepseek_v2", "topk_method": "greedy", "scoring_func": "softmax"})",
       "norm_topk_prob"},
      {kDeepseek, R"({"kv_lora_rank": null})", "kv_lora_rank"},
      {kDeepseek, R"({"kv_lora_rank": 20})", "multiple of 8"},
      {kDeepseek, R"({"qk_rope_head_dim": 7})", "odd"},
      {kDeepseek, R"({"v_head_dim": null})", "v_head_dim"},
      {kLlama, R"({"quantization_config": {"quant_method": "gptq"}})", "take the one that holds floats"},
      {kLlama, R"({"sliding_window": 4096})", "sliding_window"},
      {kLlama, R"({"layer_types": ["sliding_attention"]})", "layer_types"},
      {kLlama, R"({"model_type": "qwen2", "use_sliding_window": true, "sliding_window": 4096})", "use_sliding_window"},
      {kLlama, R"({"attn_logit_softcapping": 50.0})", "attn_logit_softcapping"},
      {kLlama, R"({"query_pre_attn_scalar": 224})", "query_pre_attn_scalar"},
      {kLlama, R"({"rope_interleaved": true})", "rope_interleaved"},
      {kLlama, R"({"embedding_multiplier": 12.0})", "embedding_multiplier"},
      {kLlama, R"({"\u001b[2J_scale": 2})", "\\u001b[2J_scale"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.changes);
    const std::string sentence = refusal(c.base, c.changes);
    CHECK_MESSAGE(sentence.find(c.sentence) != std::string::npos, sentence);
  }
  REQUIRE(refusal(kLlama, "{}") == "");
  REQUIRE(refusal(kDeepseek, "{}") == "");
  for (const char* text : {"[]", "5", "\"llama\"", "null", "{}"})
    CHECK_THROWS_AS(read_hf_config(json::Document::parse(text)), std::runtime_error);
}
