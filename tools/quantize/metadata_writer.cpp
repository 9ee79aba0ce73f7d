#include "metadata_writer.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>
#include "model/config_reader.h"

namespace pith::quantize {
namespace {

const char* word(AttentionKind kind) { return kind == AttentionKind::mha ? "mha" : "latent"; }
const char* word(Gate gate) { return gate == Gate::up ? "up" : gate == Gate::latent ? "latent" : "none"; }
const char* word(KvNorm norm) { return norm == KvNorm::rms ? "rms" : "none"; }
const char* word(BlockNorm norm) { return norm == BlockNorm::rms ? "rms" : "layer"; }
const char* word(GateNorm norm) {
  const char* const words[] = {"none", "rms", "layer", "layer_split"};
  return words[size_t(norm)];
}
const char* word(FeedForward kind) {
  const char* const words[] = {"swiglu", "relu2", "gelu_tanh", "gelu_erf"};
  return words[size_t(kind)];
}
const char* word(RopeScaling scaling) {
  const char* const words[] = {"none", "yarn", "longrope"};
  return words[size_t(scaling)];
}

void write_widths(const Config& c, GgufWriter* out) {
  out->add_u32("egmla.block_count", uint32_t(c.n_layers));
  out->add_u32("egmla.embedding_length", uint32_t(c.width));
  out->add_u32("egmla.feed_forward_length", uint32_t(c.feed_forward_width));
  out->add_u32("egmla.vocab_size", uint32_t(c.vocab_size));
  out->add_u32("egmla.context_length", uint32_t(c.context_length));
  out->add_u32("egmla.attention.head_count", uint32_t(c.n_heads));
  out->add_u32("egmla.attention.value_length", uint32_t(c.value_width));
  if (c.is_mha()) return out->add_u32("egmla.attention.head_count_kv", uint32_t(c.n_kv_heads));
  out->add_u32("egmla.attention.key_length_content", uint32_t(c.content_width));
  out->add_u32("egmla.rope.dimension_count", uint32_t(c.rope_width));
  out->add_u32("egmla.attention.kv_lora_rank", uint32_t(c.latent_width));
  if (c.query_latent_width > 0) out->add_u32("egmla.attention.q_lora_rank", uint32_t(c.query_latent_width));
  if (c.gate == Gate::none) return;
  out->add_u32("egmla.attention.gate_length", uint32_t(c.gate_width));
  out->add_u32("egmla.attention.layer_group_size", uint32_t(c.layer_group_size));
  out->add_string("egmla.attention.gate_norm", word(c.gate_norm));
}

void write_rope(const Config& c, GgufWriter* out) {
  out->add_bool("egmla.rope.interleaved", c.rope_interleaved);
  out->add_f32("egmla.rope.freq_base", c.rope_base);
  out->add_string("egmla.rope.scaling.type", word(c.rope_scaling));
  if (c.rope_scaling == RopeScaling::none) return;
  out->add_f32("egmla.rope.scaling.factor", c.rope_factor);
  out->add_u32("egmla.rope.scaling.original_context_length", uint32_t(c.rope_original_context));
  out->add_f32("egmla.rope.scaling.yarn_log_multiplier", c.yarn_log_multiplier);
  out->add_f32("egmla.rope.scaling.yarn_beta_fast", c.yarn_beta_fast);
  out->add_f32("egmla.rope.scaling.yarn_beta_slow", c.yarn_beta_slow);
}

constexpr std::string_view kRealKeys[] = {"attention.layer_norm_rms_epsilon",
                                          "block_norm_epsilon",
                                          "attention.kv_norm_epsilon",
                                          "attention.q_norm_epsilon",
                                          "attention.gate_norm_epsilon",
                                          "embedding_scale",
                                          "residual_scale",
                                          "logit_scale",
                                          "rope.freq_base",
                                          "rope.scaling.factor",
                                          "rope.scaling.yarn_log_multiplier",
                                          "rope.scaling.yarn_beta_fast",
                                          "rope.scaling.yarn_beta_slow"};
constexpr std::string_view kOtherKeys[] = {"attention.kind",
                                           "attention.gate",
                                           "attention.gate_norm",
                                           "attention.kv_norm",
                                           "block_norm",
                                           "feed_forward.kind",
                                           "rope.scaling.type",
                                           "rope.interleaved",
                                           "block_count",
                                           "embedding_length",
                                           "attention.head_count",
                                           "attention.head_count_kv",
                                           "attention.value_length",
                                           "feed_forward_length",
                                           "vocab_size",
                                           "context_length",
                                           "attention.key_length_content",
                                           "rope.dimension_count",
                                           "attention.kv_lora_rank",
                                           "attention.q_lora_rank",
                                           "attention.gate_length",
                                           "attention.layer_group_size",
                                           "rope.scaling.original_context_length"};

template <size_t n>
bool contains(const std::string_view (&keys)[n], std::string_view key) {
  return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
}

// JSON has one kind of number: 10000 is a real where the key is one.
void add_json(std::string_view name, const nlohmann::json& value, GgufWriter* out) {
  const std::string key = fmt::format("egmla.{}", name);
  const bool is_real = contains(kRealKeys, name);
  if (!is_real && !contains(kOtherKeys, name))
    throw std::runtime_error(fmt::format("key {}: not a key of a configuration", key));
  if (value.is_boolean()) out->add_bool(key, value);
  else if (value.is_number_float() || (is_real && value.is_number())) out->add_f64(key, value);
  else if (value.is_number_unsigned()) out->add_u64(key, value);
  else if (value.is_number_integer()) out->add_i64(key, value);
  else if (value.is_string()) out->add_string(key, value.get<std::string>());
  else throw std::runtime_error(fmt::format("key {}: neither a number, a word nor true or false", key));
}

}  // namespace

void write_config(const Config& c, GgufWriter* out) {
  out->add_string("general.architecture", "egmla");
  out->add_string("egmla.attention.kind", word(c.attention));
  out->add_string("egmla.attention.gate", word(c.gate));
  out->add_string("egmla.attention.kv_norm", word(c.kv_norm));
  out->add_string("egmla.block_norm", word(c.block_norm));
  out->add_string("egmla.feed_forward.kind", word(c.feed_forward));
  write_widths(c, out);
  write_rope(c, out);
  out->add_f32("egmla.block_norm_epsilon", c.block_norm_epsilon);
  out->add_f32("egmla.attention.kv_norm_epsilon", c.kv_norm_epsilon);
  out->add_f32("egmla.attention.q_norm_epsilon", c.q_norm_epsilon);
  out->add_f32("egmla.attention.gate_norm_epsilon", c.gate_norm_epsilon);
  out->add_f32("egmla.embedding_scale", c.embedding_scale);
  out->add_f32("egmla.residual_scale", c.residual_scale);
  out->add_f32("egmla.logit_scale", c.logit_scale);
}

// Through a file in memory and read_config, so that a JSON configuration is held to the same rules as a model file.
Config config_from_json(const nlohmann::json& object) {
  if (!object.is_object()) throw std::runtime_error("the configuration is not a JSON object of keys");
  GgufWriter writer;
  writer.add_string("general.architecture", "egmla");
  for (const auto& [key, value] : object.items()) {
    const std::string_view name = key;
    add_json(name.starts_with("egmla.") ? name.substr(6) : name, value, &writer);
  }
  const std::vector<uint8_t> bytes = writer.bytes();
  pith_error error{};
  size_t directory_bytes = 0;
  ModelFile file;
  Config config;
  pith_status status = ModelFile::directory_bytes(bytes.data(), bytes.size(), &directory_bytes, &error);
  std::vector<uint64_t> directory(directory_bytes / sizeof(uint64_t) + 1);
  if (status == PITH_OK) status = file.open(bytes.data(), bytes.size(), directory.data(), &error);
  if (status == PITH_OK) status = read_config(file, &config, &error);
  if (status != PITH_OK) throw std::runtime_error(error.message);
  return config;
}

}  // namespace pith::quantize
