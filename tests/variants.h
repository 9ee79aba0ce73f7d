// One list of small models that together use every variant of the family.
#ifndef PITH_TESTS_VARIANTS_H
#define PITH_TESTS_VARIANTS_H

#include <vector>

#include "synth.h"

namespace pith::test {

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

inline std::vector<SynthSpec> all_variants() {
  std::vector<SynthSpec> out = {gated_spec("egmla, joint layer norm", GateNorm::layer),
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
                                small_spec("mla, gelu by erf, layer norm")};
  out[1].config.rope_interleaved = false;
  out[2].config.kv_norm = KvNorm::none;
  out[3].tied = false;
  out[4].config.latent_width = 96;
  out[4].biases = out[6].biases = true;
  Config& yarn = out[8].config;
  yarn.query_latent_width = 40;
  yarn.rope_interleaved = false;
  yarn.rope_scaling = RopeScaling::yarn;
  yarn.rope_factor = 8;
  yarn.rope_original_context = 32;
  yarn.yarn_log_multiplier = 0.07f;
  Config& longrope = out[9].config;
  longrope.latent_width = 96;
  longrope.rope_scaling = RopeScaling::longrope;
  longrope.rope_factor = 4;
  longrope.rope_original_context = 64;
  longrope.feed_forward = FeedForward::relu2;
  longrope.embedding_scale = 3;
  longrope.residual_scale = 0.4f;
  longrope.logit_scale = 0.3f;
  for (const size_t i : {size_t(10), size_t(11)}) {
    Config& mha = out[i].config;
    mha.attention = AttentionKind::mha;
    mha.n_heads = 4;
    mha.n_kv_heads = i == 10 ? 2 : 4;
    mha.content_width = mha.latent_width = 0;
    mha.rope_width = mha.value_width;
  }
  out[11].config.feed_forward = FeedForward::gelu_tanh;
  out[11].config.block_norm = out[12].config.block_norm = BlockNorm::layer;
  out[11].biases = true;
  out[11].tied = false;
  out[12].config.feed_forward = FeedForward::gelu_erf;
  return out;
}

}  // namespace pith::test

#endif
