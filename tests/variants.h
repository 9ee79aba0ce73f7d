// One list of small models that together use every variant of the family.
#ifndef PITH_TESTS_VARIANTS_H
#define PITH_TESTS_VARIANTS_H

#include <cstdlib>
#include <random>
#include <vector>

#include "quick.h"
#include "synth.h"

namespace pith::test {

using namespace internal;
using namespace quantize;

inline SynthSpec small_spec(const char* name) {
  SynthSpec spec;
  Config& c = spec.config;
  spec.name = name;
  spec.tied = true;
  c.n_layers = 3;
  c.width = 48;
  c.n_heads = c.n_kv_heads = 3;
  c.content_width = 8;
  c.value_width = 16;
  c.rope_width = 8;
  c.latent_width = 16;
  c.feed_forward_width = 72;
  c.vocab_size = 300;
  c.context_length = 256;
  return spec;
}

inline SynthSpec gated_spec(const char* name, GateNorm norm, Gate gate = Gate::up) {
  SynthSpec spec = small_spec(name);
  spec.config.gate = gate;
  spec.config.gate_norm = norm;
  spec.config.gate_width = 24;
  spec.config.layer_group_size = 2;
  return spec;
}

inline void set_mha(Config* c, int32_t n_heads, int32_t n_kv_heads) {
  c->attention = AttentionKind::mha;
  c->n_heads = n_heads;
  c->n_kv_heads = n_kv_heads;
  c->content_width = c->latent_width = 0;
  c->rope_width = c->value_width;
}

inline void set_scaling(Config* c, RopeScaling scaling, float factor, int32_t original_context) {
  c->rope_scaling = scaling;
  c->rope_factor = factor;
  c->rope_original_context = original_context;
}

// Eight experts, of which two are chosen.
inline SynthSpec expert_spec(const char* name, ExpertGating gating) {
  SynthSpec spec = small_spec(name);
  Config& c = spec.config;
  c.n_experts = 8;
  c.n_used_experts = 2;
  c.expert_width = 40;
  c.n_dense_layers = 1;
  c.expert_gating = gating;
  return spec;
}

inline std::vector<SynthSpec> all_variants() {
  std::vector<SynthSpec> out = {
      gated_spec("egmla, joint layer norm", GateNorm::layer),
      gated_spec("egmla, split layer norm, rope halves", GateNorm::layer_split),
      gated_spec("egmla, rms, no kv norm", GateNorm::rms),
      gated_spec("egmla, no gate norm, untied", GateNorm::none),
      gated_spec("egmla, r = 96, biases", GateNorm::layer),
      gated_spec("latent gate, layer norm", GateNorm::layer, Gate::latent),
      gated_spec("latent gate, rms, biases", GateNorm::rms, Gate::latent),
      small_spec("mla"),
      small_spec("mla, low-rank query, yarn, rope halves"),
      small_spec("mla, r = 96, longrope, relu2, scales"),
      small_spec("mha, grouped"),
      small_spec("mha, gelu by tanh, layer norm, biases"),
      small_spec("mla, gelu by erf, layer norm"),
      gated_spec("latent gate, no norm, r = 40, a table per layer", GateNorm::none, Gate::latent),
      gated_spec("egmla, split layer norm, r = 96, low-rank query, one table", GateNorm::layer_split),
      small_spec("mha, short longrope, rope halves"),
      small_spec("mha, one kv head, yarn"),
      small_spec("mla, no kv norm, relu2, biases"),
      small_spec("mha, norms of heads, grouped, rope halves, biases"),
      expert_spec("experts, softmax, shared", ExpertGating::softmax),
      expert_spec("experts, softmax, groups, relu2, corrections", ExpertGating::softmax),
      expert_spec("experts, sigmoid, groups, normed weights, shared, low-rank query", ExpertGating::sigmoid),
      expert_spec("experts of mha, sigmoid, all layers", ExpertGating::sigmoid)};
  out[1].config.rope_interleaved = false;
  out[2].config.kv_norm = KvNorm::none;
  out[3].tied = false;
  out[4].config.latent_width = 96;
  out[4].biases = out[6].biases = true;
  Config& yarn = out[8].config;
  yarn.query_latent_width = 40;
  yarn.rope_interleaved = false;
  set_scaling(&yarn, RopeScaling::yarn, 8, 32);
  yarn.yarn_log_multiplier = 0.07f;
  Config& longrope = out[9].config;
  longrope.latent_width = 96;
  set_scaling(&longrope, RopeScaling::longrope, 4, 64);
  longrope.feed_forward = FeedForward::relu2;
  longrope.embedding_scale = 3;
  longrope.residual_scale = 0.4f;
  longrope.logit_scale = 0.3f;
  set_mha(&out[10].config, 4, 2);
  set_mha(&out[11].config, 4, 4);
  set_mha(&out[15].config, 4, 4);
  set_mha(&out[16].config, 4, 1);
  out[11].config.feed_forward = FeedForward::gelu_tanh;
  out[11].config.block_norm = out[12].config.block_norm = BlockNorm::layer;
  out[11].biases = true;
  out[11].tied = false;
  out[12].config.feed_forward = FeedForward::gelu_erf;
  out[13].config.latent_width = 40;
  out[13].config.layer_group_size = 1;
  out[14].config.latent_width = 96;
  out[14].config.query_latent_width = 24;
  out[14].config.layer_group_size = 5;                                                    // more than there are layers
  set_scaling(&out[15].config, RopeScaling::longrope, 2, out[15].config.context_length);  // as short as the original
  out[15].config.rope_interleaved = false;
  set_scaling(&out[16].config, RopeScaling::yarn, 4, 64);
  out[17].config.kv_norm = KvNorm::none;
  out[17].config.feed_forward = FeedForward::relu2;
  out[17].biases = true;
  set_mha(&out[18].config, 6, 2);
  out[18].config.head_norm = HeadNorm::rms;
  out[18].config.rope_interleaved = false;
  out[18].biases = true;
  out[19].config.n_shared_experts = 2;
  out[19].config.expert_weights_scale = 1.5f;
  out[20].config.n_expert_groups = 4;
  out[20].config.n_used_expert_groups = 2;
  out[20].config.feed_forward = FeedForward::relu2;
  out[20].biases = true;
  Config& sigmoid = out[21].config;
  sigmoid.n_expert_groups = 4;
  sigmoid.n_used_expert_groups = 2;
  sigmoid.expert_weights_norm = true;
  sigmoid.expert_weights_scale = 1.8f;
  sigmoid.n_shared_experts = 1;
  sigmoid.query_latent_width = 24;
  set_mha(&out[22].config, 4, 2);
  out[22].config.n_dense_layers = 0;
  out[22].config.n_used_experts = 3;
  return out;
}

// Whether a little rounding moves the results a little: a router's choice jumps, and no bound on rounding bounds that.
inline bool is_continuous(const SynthSpec& spec) { return spec.config.n_experts == 0; }

// All of them, or the share of PITH_QUICK.
inline std::vector<SynthSpec> some_variants() {
  std::vector<SynthSpec> all = all_variants(), out;
  Share share;
  for (const SynthSpec& spec : all) {
    if (!share.leaves_out()) out.push_back(spec);
  }
  return out;
}

}  // namespace pith::test

#endif
