// pith info: what a model is and what it will take, from the file's header, before any memory is taken for a session. Without
// a file of that name, of a shape that `pith synth` knows.
#include <fmt/core.h>

#include "commands.h"
#include "standard_streams.h"
#include "key_reference.h"
#include "model/model.h"
#include "sparse_model.h"

namespace pith::cli {

using namespace internal;
namespace {

using Json = json::Document;

Json config_json(const pith_model_info& i) {
  return {{"attention", i.attention_kind == PITH_ATTENTION_KIND_MHA ? "mha" : "latent"},
          {"gate", i.gate_kind == PITH_GATE_UP       ? "up"
                   : i.gate_kind == PITH_GATE_LATENT ? "latent"
                                                     : "none"},
          {"layers", i.n_layers},
          {"width", i.width},
          {"heads", i.n_heads},
          {"kv_heads", i.n_kv_heads},
          {"content_width", i.content_width},
          {"rope_width", i.rope_width},
          {"value_width", i.value_width},
          {"latent_width", i.latent_width},
          {"query_latent_width", i.query_latent_width},
          {"gate_width", i.gate_width},
          {"layer_group_size", i.layer_group_size},
          {"feed_forward_width", i.feed_forward_width},
          {"vocab_size", i.vocab_size},
          {"context_length", i.context_length},
          {"experts", i.n_experts},
          {"used_experts", i.n_used_experts},
          {"tied_output", i.tied_output == 1},
          {"parameters", i.n_parameters}};
}

// Long arrays are given by their length.
Json value_json(const pith_metadata& m) {
  switch (m.type) {
    case PITH_VALUE_UINT: return m.uint_value;
    case PITH_VALUE_INT: return m.int_value;
    case PITH_VALUE_FLOAT: return m.float_value;
    case PITH_VALUE_BOOL: return m.uint_value != 0;
    case PITH_VALUE_STRING: return std::string(m.string, m.string_bytes);
    case PITH_VALUE_ARRAY: break;
  }
  return {{"array", m.array_count}};
}

Json metadata_json(const Model& model) {
  Json out = Json::object();
  for (size_t i = 0; i < model.metadata_count(); ++i) {
    const pith_metadata m = model.metadata(i);
    out.add(std::string(m.key, m.key_bytes), value_json(m));  // no file has a key twice
  }
  return out;
}

Json tensors_json(const Model& model) {
  Json out = Json::array();
  for (size_t i = 0; i < model.tensor_count(); ++i) {
    const pith_tensor t = model.tensor(i);
    out.push_back({{"name", std::string(t.name, t.name_bytes)},
                   {"type", t.type},
                   {"shape", {t.rows, t.cols}},
                   {"bytes", t.data_bytes},
                   {"sha256", std::string(t.sha256, 64)}});
  }
  return out;
}

// The file is mapped: its pages come as they are read, and the system may take them back. The session's bytes stay.
Json plan_json(const Model& model, const pith_session_options& options) {
  const pith_session_plan plan = Session::plan(model, options);
  const pith_model_info info = model.info();
  return {{"weights_bytes", info.weight_bytes},
          {"expert_bytes", info.expert_bytes},
          {"weight_bytes_per_token", info.step_weight_bytes},
          {"expert_bytes_per_token", info.step_expert_bytes},
          {"mapped_bytes", model.mapped_bytes()},
          {"mapped_bytes_in_memory", model.resident_bytes()},
          {"session_bytes", plan.session_bytes},
          {"cache_bytes", plan.cache_bytes},
          {"pool_bytes", plan.pool_bytes},
          {"cache_bytes_per_token", plan.cache_bytes_per_token},
          {"cache_elements_per_token", plan.cache_elements_per_token}};
}

// What the model's keys say, and what they mean.
void print_config(const Config& config) {
  for (const ConfigKey& key : config_keys()) {
    if (key.use == KeyUse::alias || !applies(key.scope, config)) continue;
    const std::string value = fmt::format("{} {}", quantize::value_text(key, key.get(config)), key.unit);
    print("  {:<40} {:<16} {}\n", key.name, value, key.meaning);
  }
}

bool is_config_key(std::string_view name) {
  const std::string_view prefix = kKeyPrefix;
  return name.starts_with(prefix) && find_key(config_keys(), name.substr(prefix.size())) != nullptr;
}

void print_members(const Json& object) {
  for (const auto& [key, value] : object.members()) {
    if (!is_config_key(key)) print("  {:<40} {}\n", escaped(key), escaped(value.shown()));
  }
}

void print_table(const Json& document, const Config& config, bool with_tensors) {
  print("model {}\n", document["model"].string());
  print_config(config);
  for (const char* key : {"tied_output", "parameters"}) print("  {:<40} {}\n", key, document["config"][key].dump());
  print("metadata\n");
  print_members(document["metadata"]);
  if (with_tensors) {
    print("tensors\n");
    for (const Json& t : document["tensors"].elements())
      print("  {:<40} {:<6} {:>8} x {:<8} {:>12} bytes\n", escaped(t["name"].string()), t["type"].string(),
            t["shape"][0].dump(), t["shape"][1].dump(), t["bytes"].dump());
  }
  print("memory\n");
  print_members(document["plan"]);
}

}  // namespace

void info(const InfoOptions& options) {
  const std::optional<SparseModel> shape = SparseModel::of_shape(options.model.path);
  const Model model = shape ? shape->view() : options.model.load();
  const Json document = {{"model", options.model.name()},
                         {"config", config_json(model.info())},
                         {"metadata", metadata_json(model)},
                         {"tensors", tensors_json(model)},
                         {"plan", plan_json(model, options.session.resolve())}};
  if (options.json) print_json(document);
  else print_table(document, model.get()->config, options.tensors);
}

}  // namespace pith::cli
