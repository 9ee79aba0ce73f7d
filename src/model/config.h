// The shape of a model: what design calls data in the model file, never a compile-time choice.
#ifndef PITH_MODEL_CONFIG_H
#define PITH_MODEL_CONFIG_H

#include <cstdint>

namespace pith::internal {

// An enumeration whose enumerators are, letter by letter, the words of the model file; words_of() lists them with ", ".
#define PITH_WORDS(Enum, ...)                \
  enum class Enum : uint8_t { __VA_ARGS__ }; \
  constexpr const char* words_of(Enum) { return #__VA_ARGS__; }

PITH_WORDS(AttentionKind, latent, mha)
PITH_WORDS(Gate, none, up, latent)
PITH_WORDS(GateNorm, none, rms, layer, layer_split)
PITH_WORDS(KvNorm, rms, none)
PITH_WORDS(HeadNorm, none, rms)
PITH_WORDS(BlockNorm, rms, layer)
PITH_WORDS(FeedForward, swiglu, relu2, gelu_tanh, gelu_erf)
PITH_WORDS(RopeScaling, none, yarn, longrope)
PITH_WORDS(ExpertGating, softmax, sigmoid)

constexpr int32_t kMaxExperts = 1024;    // of a layer
constexpr int32_t kMaxUsedExperts = 64;  // of a token

// The members that a model file sets are described in config_keys.cpp. Their defaults stand here.
struct Config {
  AttentionKind attention = AttentionKind::latent;
  Gate gate = Gate::none;
  GateNorm gate_norm = GateNorm::none;
  KvNorm kv_norm = KvNorm::rms;
  HeadNorm head_norm = HeadNorm::none;
  BlockNorm block_norm = BlockNorm::rms;
  FeedForward feed_forward = FeedForward::swiglu;
  RopeScaling rope_scaling = RopeScaling::none;
  ExpertGating expert_gating = ExpertGating::softmax;
  bool rope_interleaved = true;
  bool folded = false;
  bool expert_weights_norm = false;

  int32_t n_layers = 0;            // L
  int32_t width = 0;               // d
  int32_t n_heads = 0;             // n_h
  int32_t n_kv_heads = 0;          // = n_heads but for grouped MHA
  int32_t content_width = 0;       // d_n; 0 for MHA
  int32_t rope_width = 0;          // d_r; the head width for MHA
  int32_t value_width = 0;         // d_v; the head width for MHA
  int32_t latent_width = 0;        // r; 0 for MHA
  int32_t query_latent_width = 0;  // 0: full-rank query
  int32_t gate_width = 0;          // d_e; 0 without gate
  int32_t layer_group_size = 0;    // lgz; 0 without gate
  int32_t feed_forward_width = 0;
  int32_t vocab_size = 0;  // V
  int32_t context_length = 0;

  int32_t n_experts = 0;         // E, of a layer that has them; 0: every feed-forward is dense
  int32_t n_used_experts = 0;    // chosen for a token
  int32_t n_shared_experts = 0;  // for every token: one feed-forward of so many times the width
  int32_t expert_width = 0;
  int32_t n_dense_layers = 0;   // before the first that has experts
  int32_t n_expert_groups = 1;  // neighbouring experts that are chosen or left together first
  int32_t n_used_expert_groups = 1;

  float block_norm_epsilon = 1e-6f;
  float kv_norm_epsilon = 1e-6f;
  float q_norm_epsilon = 1e-6f;
  float gate_norm_epsilon = 1e-6f;
  float embedding_scale = 1, residual_scale = 1, logit_scale = 1;

  float rope_base = 10000;
  float rope_factor = 1;
  int32_t rope_original_context = 0;
  float yarn_log_multiplier = 0;
  float yarn_beta_fast = 32, yarn_beta_slow = 1;

  float expert_weights_scale = 1;

  float content_query_scale = 1, rope_query_scale = 1;  // what folding has left outside of W_Q

  constexpr bool is_mha() const { return attention == AttentionKind::mha; }
  constexpr int32_t query_head_width() const { return content_width + rope_width; }  // d_n + d_r
  constexpr int32_t query_width() const { return n_heads * query_head_width(); }
  constexpr int32_t head_output_width() const { return n_heads * value_width; }    // input of W_O
  constexpr int32_t kv_head_width() const { return content_width + value_width; }  // d_n + d_v
  constexpr int32_t kv_width() const { return n_heads * kv_head_width(); }         // N: rows of W_UKV
  constexpr int32_t n_gate_tables() const {
    return gate == Gate::none ? 0 : (n_layers + layer_group_size - 1) / layer_group_size;
  }
  constexpr bool has_experts(int32_t layer) const { return n_experts > 0 && layer >= n_dense_layers; }
  constexpr int32_t shared_width() const { return n_shared_experts * expert_width; }
  constexpr int32_t group_experts() const { return n_experts / n_expert_groups; }
  constexpr int32_t gate_output_width() const { return gate == Gate::up ? kv_width() : latent_width; }  // rows of W_UE
};

}  // namespace pith::internal

#endif
