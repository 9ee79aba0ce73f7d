#include "model/config_keys.h"

#include <type_traits>

namespace pith::internal {
namespace {

constexpr double kMaxLayers = 1024;
constexpr double kMaxWidth = 1 << 20;  // of any vector but the vocabulary
constexpr double kMaxVocab = 1 << 24;
constexpr double kMaxContext = 1 << 30;
constexpr double kTiny = 1e-12, kHuge = 1e12;

struct Range {
  double low = 0, high = 0;
};

template <auto field>
using Field = std::remove_cvref_t<decltype(Config{}.*field)>;

// The words of an enumeration; "" for a number.
template <typename T>
constexpr const char* words_of_type() {
  if constexpr (std::is_enum_v<T>) return words_of(T{});
  else return "";
}

template <typename T>
constexpr KeyKind kind_of() {
  if (std::is_enum_v<T>) return KeyKind::word;
  if (std::is_same_v<T, bool>) return KeyKind::boolean;
  return std::is_integral_v<T> ? KeyKind::integer : KeyKind::real;
}

template <auto field>
constexpr ConfigKey key_of(const char* field_name, const char* name, KeyScope scope, KeyUse use, Range range,
                           const char* unit, const char* meaning) {
  using T = Field<field>;
  return {name,
          field_name,
          kind_of<T>(),
          scope,
          use,
          range.low,
          range.high,
          words_of_type<T>(),
          unit,
          meaning,
          [](const Config& c) { return static_cast<double>(c.*field); },
          [](Config* c, double value) { c->*field = static_cast<T>(value); }};
}

#define PITH_KEY(field, name, scope, use, ...) \
  key_of<&Config::field>(#field, name, KeyScope::scope, KeyUse::use, __VA_ARGS__)
#define PITH_CHOICE(field, name, scope, use, meaning) PITH_KEY(field, name, scope, use, {}, "", meaning)

// In the order in which they are read, refused and written.
constexpr ConfigKey kKeys[] = {
    PITH_CHOICE(attention, "attention.kind", always, required,
                "attention over latents (MLA, EG-MLA), or over the keys and values of every head (MHA)"),
    PITH_CHOICE(gate, "attention.gate", always, optional,
                "what the gate W_UE E[id] multiplies: nothing, the up-projection W_UKV c, or the latent c"),
    PITH_CHOICE(gate_norm, "attention.gate_norm", gated, required,
                "the norm of the gated vector; layer_split norms the parts of keys and of values apart"),
    PITH_CHOICE(kv_norm, "attention.kv_norm", always, optional, "the norm of the latent"),
    PITH_CHOICE(head_norm, "attention.head_norm", mha, optional,
                "the norm of every head's query and key, before they rotate"),
    PITH_CHOICE(block_norm, "block_norm", always, optional, "the norm before attention, feed-forward and output"),
    PITH_CHOICE(feed_forward, "feed_forward.kind", always, optional, "the activation of the feed-forward"),
    PITH_CHOICE(rope_scaling, "rope.scaling.type", always, optional,
                "how the rotary embedding reaches beyond its original context"),
    PITH_CHOICE(rope_interleaved, "rope.interleaved", always, optional,
                "rotated pairs are (2i, 2i + 1); otherwise (i, d_r/2 + i)"),
    PITH_CHOICE(folded, "folded", always, packed,
                "gamma, beta and the score scale are inside W_Q and W_O; the packer alone writes it"),

    PITH_KEY(n_layers, "block_count", always, required, {1, kMaxLayers}, "layers", "L, of the model"),
    PITH_KEY(width, "embedding_length", always, required, {1, kMaxWidth}, "channels", "d, of the residual stream"),
    PITH_KEY(n_heads, "attention.head_count", always, required, {1, 4096}, "heads", "n_h, of queries"),
    PITH_KEY(value_width, "attention.value_length", always, required, {8, 4096}, "channels",
             "d_v, of a head's value; MHA: of key and query too, all of which rotates. A multiple of 8"),
    PITH_KEY(feed_forward_width, "feed_forward_length", always, required, {1, kMaxWidth}, "channels",
             "between the matrices of the feed-forward"),
    PITH_KEY(vocab_size, "vocab_size", always, required, {1, kMaxVocab}, "tokens", "V, of the vocabulary"),
    PITH_KEY(context_length, "context_length", always, required, {1, kMaxContext}, "tokens",
             "that the model was made for; the cache's size unless a session asks for another"),
    PITH_KEY(n_kv_heads, "attention.head_count_kv", mha, optional, {1, 4096}, "heads",
             "n_kv, of keys and values; divides the heads of queries, and is their number where absent"),
    PITH_KEY(content_width, "attention.key_length_content", latent, required, {8, 4096}, "channels",
             "d_n, of the part of a head's key that does not rotate. A multiple of 8"),
    PITH_KEY(rope_width, "rope.dimension_count", latent, required, {2, 4096}, "channels",
             "d_r, of the rotated key that the heads share. Even"),
    PITH_KEY(latent_width, "attention.kv_lora_rank", latent, required, {8, 65536}, "channels",
             "r, of the latent c that is cached. A multiple of 8"),
    PITH_KEY(query_latent_width, "attention.q_lora_rank", latent, optional, {1, kMaxWidth}, "channels",
             "of the query's latent; where absent, one matrix makes the query"),
    PITH_KEY(gate_width, "attention.gate_length", gated, required, {1, 65536}, "channels",
             "d_e, of a gate table's row"),
    PITH_KEY(layer_group_size, "attention.layer_group_size", gated, required, {1, kMaxLayers}, "layers",
             "lgz: layer N reads gate table N / lgz"),

    PITH_KEY(n_experts, "expert_count", always, optional, {0, kMaxExperts}, "experts",
             "E, feed-forwards of a layer of which a router chooses some for every token; 0: every layer is dense"),
    PITH_KEY(n_used_experts, "expert_used_count", experts, required, {1, kMaxUsedExperts}, "experts",
             "that are chosen for a token"),
    PITH_KEY(expert_width, "expert_feed_forward_length", experts, required, {1, kMaxWidth}, "channels",
             "between the matrices of an expert"),
    PITH_KEY(n_shared_experts, "expert_shared_count", experts, optional, {0, kMaxUsedExperts}, "experts",
             "that compute every token, as one feed-forward of so many times an expert's width"),
    PITH_KEY(n_dense_layers, "leading_dense_block_count", experts, optional, {0, kMaxLayers}, "layers",
             "before the first with experts; fewer than the model has"),
    PITH_KEY(n_expert_groups, "expert_group_count", experts, optional, {1, kMaxExperts}, "groups",
             "of neighbouring experts; divides the experts"),
    PITH_KEY(n_used_expert_groups, "expert_group_used_count", experts, optional, {1, kMaxExperts}, "groups",
             "that experts are chosen from: those whose best expert (softmax), or two best together (sigmoid), have "
             "the highest scores"),
    PITH_CHOICE(expert_gating, "expert_gating_func", experts, optional,
                "from the router's logits to scores of experts: over all of them, or of each by itself"),
    PITH_CHOICE(expert_weights_norm, "expert_weights_norm", experts, optional,
                "whether the weights of the chosen experts, which are their scores, are divided by their sum"),
    PITH_KEY(expert_weights_scale, "expert_weights_scale", experts, optional, {-kHuge, kHuge}, "",
             "times the weights of the chosen experts"),

    PITH_KEY(block_norm_epsilon, "attention.layer_norm_rms_epsilon", always, alias, {kTiny, 1}, "",
             "another name of block_norm_epsilon, which goes before it"),
    PITH_KEY(block_norm_epsilon, "block_norm_epsilon", always, optional, {kTiny, 1}, "",
             "added to the mean square or variance by the norms of the blocks"),
    PITH_KEY(kv_norm_epsilon, "attention.kv_norm_epsilon", always, optional, {kTiny, 1}, "", "of the latent's norm"),
    PITH_KEY(q_norm_epsilon, "attention.q_norm_epsilon", always, optional, {kTiny, 1}, "",
             "of the norm of the query's latent; MHA: of the norms of heads"),
    PITH_KEY(gate_norm_epsilon, "attention.gate_norm_epsilon", always, optional, {kTiny, 1}, "",
             "of the norm of the gated vector"),
    PITH_KEY(embedding_scale, "embedding_scale", always, optional, {-kHuge, kHuge}, "", "times the token's embedding"),
    PITH_KEY(residual_scale, "residual_scale", always, optional, {-kHuge, kHuge}, "",
             "times what attention and feed-forward add to the residual stream"),
    PITH_KEY(logit_scale, "logit_scale", always, optional, {-kHuge, kHuge}, "", "times the logits"),
    PITH_KEY(rope_base, "rope.freq_base", always, optional, {1, kHuge}, "",
             "pair i turns by base^(-2i / d_r) radians per position, unscaled"),
    PITH_KEY(rope_factor, "rope.scaling.factor", scaled, required, {1, 1e6}, "", "the context over the original one"),
    PITH_KEY(rope_original_context, "rope.scaling.original_context_length", scaled, required, {2, kMaxContext},
             "tokens", "the context before it was extended"),
    PITH_KEY(yarn_log_multiplier, "rope.scaling.yarn_log_multiplier", scaled, optional, {0, 100}, "",
             "YaRN: 0.1 mscale_all_dim; scores are multiplied by the square of 1 + this times ln(factor)"),
    PITH_KEY(yarn_beta_fast, "rope.scaling.yarn_beta_fast", scaled, optional, {kTiny, 1e6}, "turns",
             "YaRN: pairs that turn more often in the original context stay as they are"),
    PITH_KEY(yarn_beta_slow, "rope.scaling.yarn_beta_slow", scaled, optional, {kTiny, 1e6}, "turns",
             "YaRN: pairs that turn less often are slowed down by the factor"),

    PITH_KEY(content_query_scale, "attention.content_query_scale", latent, packed, {-kHuge, kHuge}, "",
             "times the content of queries: of the score scale, what is not inside W_Q; the packer alone writes it"),
    PITH_KEY(rope_query_scale, "attention.rope_query_scale", always, packed, {-kHuge, kHuge}, "",
             "times the rotary part of queries, as above"),
};

}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

}  // namespace pith::internal
