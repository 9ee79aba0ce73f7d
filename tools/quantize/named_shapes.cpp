#include "named_shapes.h"

#include <cmath>

namespace pith::quantize {
namespace {

Config paper_shape(int32_t latent_width, Gate gate) {
  Config c;
  c.n_layers = c.n_heads = c.n_kv_heads = 12;
  c.width = 768;
  c.content_width = c.rope_width = c.value_width = 64;
  c.latent_width = latent_width;
  c.feed_forward_width = 2048;
  c.vocab_size = 50304;
  c.context_length = 32768;
  c.gate = gate;
  if (gate == Gate::none) return c;
  c.gate_norm = GateNorm::layer;
  c.gate_width = 256;
  c.layer_group_size = 3;
  return c;
}

Config mha_shape() {
  Config c = paper_shape(0, Gate::none);
  c.attention = AttentionKind::mha;
  c.content_width = 0;
  return c;
}

Config paper_1b_shape() {
  Config c = paper_shape(512, Gate::none);
  c.n_layers = 24;
  c.width = 2048;
  c.n_heads = c.n_kv_heads = 16;
  c.content_width = c.value_width = 128;
  c.feed_forward_width = 5632;
  return c;
}

Config story_shape(int32_t width, int32_t heads, int32_t rope, int32_t latent, int32_t gate, int32_t feed_forward,
                   int32_t vocab) {
  Config c = paper_shape(latent, Gate::up);
  c.width = width;
  c.n_heads = c.n_kv_heads = heads;
  c.content_width = c.value_width = 32;
  c.rope_width = rope;
  c.gate_width = gate;
  c.feed_forward_width = feed_forward;
  c.vocab_size = vocab;
  c.context_length = 512;
  return c;
}

// ---- Published models. Sources: their config.json, and transformers' configuration_<model_type>.py for what that leaves out.

void set_epsilon(Config* c, float epsilon) { c->block_norm_epsilon = c->kv_norm_epsilon = c->q_norm_epsilon = epsilon; }

Config latent_shape(int32_t layers, int32_t width, int32_t heads, int32_t query_latent, int32_t latent, int32_t content,
                    int32_t rope, int32_t value, int32_t feed_forward, int32_t vocab, int32_t context) {
  Config c;
  c.n_layers = layers;
  c.width = width;
  c.n_heads = c.n_kv_heads = heads;
  c.query_latent_width = query_latent;
  c.latent_width = latent;
  c.content_width = content;
  c.rope_width = rope;
  c.value_width = value;
  c.feed_forward_width = feed_forward;
  c.vocab_size = vocab;
  c.context_length = context;
  return c;
}

// Its LongRoPE has the context of training for its original one: the factor is 1, and what is left of it are divisors, which
// are 1 here.
Config minicpm3_shape() {
  Config c = latent_shape(62, 2560, 40, 768, 256, 64, 32, 64, 6400, 73448, 32768);
  c.block_norm_epsilon = 1e-5f;  // latents keep 1e-6
  c.rope_interleaved = false;
  c.rope_scaling = RopeScaling::longrope;
  c.rope_original_context = 32768;
  c.embedding_scale = 12;
  c.residual_scale = float(1.4 / std::sqrt(62.0));  // scale_depth over the root of the layers
  c.logit_scale = 256.0f / 2560;                    // dim_model_base over the width
  return c;
}

// Its rope base stands in no source that pith names; sizes and speed do not depend on it.
Config youtu_shape() { return latent_shape(32, 2048, 16, 1536, 512, 128, 64, 128, 6144, 128256, 131072); }

Config plm_shape() {
  Config c = latent_shape(32, 2048, 16, 0, 512, 128, 64, 128, 8192, 151936, 4096);
  c.rope_base = 100000;
  c.feed_forward = FeedForward::relu2;
  return c;
}

// ---- Mixtures of experts: 64 in every layer but the first.

void set_experts(Config* c, int32_t used, int32_t shared, int32_t width, ExpertGating gating) {
  c->n_experts = 64;
  c->n_used_experts = used;
  c->n_shared_experts = shared;
  c->expert_width = width;
  c->n_dense_layers = 1;
  c->expert_gating = gating;
  c->expert_weights_norm = gating == ExpertGating::sigmoid;
}

Config deepseek_v2_lite_shape() {
  Config c = latent_shape(27, 2048, 16, 0, 512, 128, 64, 128, 10944, 102400, 163840);
  set_experts(&c, 6, 2, 1408, ExpertGating::softmax);
  c.rope_scaling = RopeScaling::yarn;
  c.rope_factor = 40;
  c.rope_original_context = 4096;
  c.yarn_log_multiplier = 0.0707f;
  return c;
}

Config moonlight_shape() {
  Config c = latent_shape(27, 2048, 16, 0, 512, 128, 64, 128, 11264, 163840, 8192);
  set_experts(&c, 6, 2, 1408, ExpertGating::sigmoid);
  c.expert_weights_scale = 2.446f;
  c.rope_base = 50000;
  return c;
}

Config glm_flash_shape() {
  Config c = latent_shape(47, 2048, 20, 768, 512, 192, 64, 256, 10240, 154880, 202752);
  set_experts(&c, 4, 1, 1536, ExpertGating::sigmoid);
  c.expert_weights_scale = 1.8f;
  c.rope_base = 1000000;
  c.block_norm_epsilon = 1e-5f;  // latents keep 1e-6
  return c;
}

// Multi-head attention over heads of 64, of which several share keys and values.
Config grouped_shape(int32_t layers, int32_t heads, int32_t kv_heads, int32_t feed_forward, int32_t vocab,
                     int32_t context, float rope_base, float epsilon) {
  Config c = latent_shape(layers, 64 * heads, heads, 0, 0, 0, 64, 64, feed_forward, vocab, context);
  c.attention = AttentionKind::mha;
  c.n_kv_heads = kv_heads;
  c.rope_interleaved = false;
  c.rope_base = rope_base;
  set_epsilon(&c, epsilon);
  return c;
}

SynthSpec published(const char* name, const Config& config, bool has_qkv_biases = false) {
  const bool is_tied = config.n_experts == 0;  // all of the others are
  return {name, config, is_tied, false, 1, has_qkv_biases};
}

}  // namespace

std::vector<SynthSpec> named_shapes() {
  return {{"paper-kv64", paper_shape(64, Gate::up)},
          {"paper-kv16", paper_shape(16, Gate::up)},
          {"paper-mla256", paper_shape(256, Gate::none)},
          {"paper-mha", mha_shape()},
          {"paper-1b", paper_1b_shape()},
          {"m", story_shape(192, 6, 16, 16, 64, 512, 2048), true},
          {"xl", story_shape(384, 12, 32, 32, 128, 1024, 4096), true},
          published("minicpm3-4b", minicpm3_shape()),
          published("youtu-2b", youtu_shape()),
          published("plm-1.8b", plm_shape()),
          published("deepseek-v2-lite", deepseek_v2_lite_shape()),
          published("moonlight-16b", moonlight_shape()),
          published("glm-4.7-flash", glm_flash_shape()),
          published("smollm2-135m", grouped_shape(30, 9, 3, 1536, 49152, 8192, 1e5f, 1e-5f)),
          // Without the divisors that slow its slow pairs down.
          published("llama-3.2-1b", grouped_shape(16, 32, 8, 8192, 128256, 131072, 5e5f, 1e-5f)),
          published("qwen2.5-0.5b", grouped_shape(24, 14, 2, 4864, 151936, 32768, 1e6f, 1e-6f), true)};
}

}  // namespace pith::quantize
