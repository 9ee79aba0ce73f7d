#include "model/config_reader.h"

#include "ground/status.h"
#include "model/config_keys.h"

namespace pith::internal {
namespace {

// "egmla." and the name.
class Key {
 public:
  explicit Key(const char* name) {
    for (const char* from = kKeyPrefix; *from != '\0';) text_[size_++] = *from++;
    while (*name != '\0' && size_ < sizeof text_) text_[size_++] = *name++;
  }
  std::string_view text() const { return {text_, size_}; }

 private:
  char text_[64];
  size_t size_ = 0;
};

pith_status read_integer(const ModelFile& file, const ConfigKey& key, Config* c, bool* found, pith_error* error) {
  const Key name(key.name);
  const int64_t low = int64_t(key.low), high = int64_t(key.high);
  uint64_t number = 0;
  PITH_TRY(file.get_uint(name.text(), &number, found, error));
  if (!*found) return PITH_OK;
  if (number < uint64_t(low) || number > uint64_t(high))
    return fail(error, PITH_E_HPARAM, "key ", name.text(), ": ", number, " is not within ", low, " .. ", high);
  key.set(c, double(number));
  return PITH_OK;
}

pith_status read_real(const ModelFile& file, const ConfigKey& key, Config* c, bool* found, pith_error* error) {
  const Key name(key.name);
  double number = 0;
  PITH_TRY(file.get_float(name.text(), &number, found, error));
  if (!*found) return PITH_OK;
  if (!(number >= key.low && number <= key.high))  // false for NaN
    return fail(error, PITH_E_HPARAM, "key ", name.text(), ": the number is not finite or out of range");
  key.set(c, number);
  return PITH_OK;
}

pith_status read_boolean(const ModelFile& file, const ConfigKey& key, Config* c, bool* found, pith_error* error) {
  bool value = false;
  PITH_TRY(file.get_bool(Key(key.name).text(), &value, found, error));
  if (*found) key.set(c, value);
  return PITH_OK;
}

pith_status read_word(const ModelFile& file, const ConfigKey& key, Config* c, bool* found, pith_error* error) {
  const Key name(key.name);
  std::string_view text;
  PITH_TRY(file.get_string(name.text(), &text, found, error));
  if (!*found) return PITH_OK;
  for (size_t i = 0; !word_at(key.words, i).empty(); ++i) {
    if (text != word_at(key.words, i)) continue;
    key.set(c, double(i));
    return PITH_OK;
  }
  return fail(error, PITH_E_UNSUPPORTED, "key ", name.text(), ": \"", text, "\" is not known to this version");
}

pith_status read_key(const ModelFile& file, const ConfigKey& key, Config* c, pith_error* error) {
  bool found = false;
  switch (key.kind) {
    case KeyKind::integer: PITH_TRY(read_integer(file, key, c, &found, error)); break;
    case KeyKind::real: PITH_TRY(read_real(file, key, c, &found, error)); break;
    case KeyKind::boolean: PITH_TRY(read_boolean(file, key, c, &found, error)); break;
    case KeyKind::word: PITH_TRY(read_word(file, key, c, &found, error)); break;
  }
  if (!found && key.use == KeyUse::required)
    return fail(error, PITH_E_MISSING, "key ", Key(key.name).text(), ": missing");
  return PITH_OK;
}

// Features that would change the result if they were passed over: keys that must be absent or 0.
pith_status refuse_features(const ModelFile& file, pith_error* error) {
  const struct {
    const char *name, *reason;
  } features[] = {{"attention.sliding_window", "sliding windows inside a layer are not supported"}};
  for (const auto& feature : features) {
    const Key name(feature.name);
    uint64_t number = 0;
    PITH_TRY(file.get_uint(name.text(), &number, nullptr, error));
    if (number != 0) return fail(error, PITH_E_UNSUPPORTED, "key ", name.text(), ": ", feature.reason);
  }
  return PITH_OK;
}

constexpr int64_t kMaxRows = 1 << 24;

// What must hold between the keys; the first failure stays.
class Relations {
 public:
  explicit Relations(pith_error* error) : error_(error) {}
  pith_status status() const { return status_; }

  template <typename... Pieces>
  void check(bool good, const char* name, const Pieces&... reason) {
    if (status_ == PITH_OK && !good) status_ = fail(error_, PITH_E_HPARAM, "key ", Key(name).text(), ": ", reason...);
  }

 private:
  pith_error* error_;
  pith_status status_ = PITH_OK;
};

void check_experts(const Config& c, Relations* in) {
  if (c.n_experts == 0) return;
  in->check(c.n_dense_layers < c.n_layers, "leading_dense_block_count", c.n_dense_layers, " of ", c.n_layers,
            " layers leave none with experts");
  in->check(c.n_used_experts <= c.n_experts, "expert_used_count", c.n_used_experts, " of ", c.n_experts, " experts");
  in->check(c.n_experts % c.n_expert_groups == 0, "expert_group_count", c.n_expert_groups, " does not divide the ",
            c.n_experts, " experts");
  in->check(c.n_used_expert_groups <= c.n_expert_groups, "expert_group_used_count", c.n_used_expert_groups, " of ",
            c.n_expert_groups, " groups");
  in->check(c.n_used_experts <= c.n_used_expert_groups * c.group_experts(), "expert_used_count", c.n_used_experts,
            " experts from ", c.n_used_expert_groups, " groups of ", c.group_experts());
  in->check(int64_t(c.n_shared_experts) * c.expert_width <= kMaxRows / 16, "expert_shared_count", c.n_shared_experts,
            " experts of this expert_feed_forward_length are too wide");
}

pith_status check_relations(const Config& c, pith_error* error) {
  Relations in(error);
  in.check(c.value_width % 8 == 0, "attention.value_length", c.value_width, " is not a multiple of 8");
  in.check(c.content_width % 8 == 0, "attention.key_length_content", c.content_width, " is not a multiple of 8");
  in.check(c.rope_width % 2 == 0, "rope.dimension_count", c.rope_width, " is odd");
  in.check(c.latent_width % 8 == 0, "attention.kv_lora_rank", c.latent_width, " is not a multiple of 8");
  in.check(c.n_kv_heads <= c.n_heads && c.n_heads % c.n_kv_heads == 0, "attention.head_count_kv", c.n_kv_heads,
           " does not divide the ", c.n_heads, " heads");
  in.check(!c.is_mha() || c.gate == Gate::none, "attention.gate", "a gate needs latent attention");
  in.check(c.gate != Gate::latent || c.gate_norm != GateNorm::layer_split, "attention.gate_norm",
           "a gated latent has no k and v parts to norm apart");
  const int64_t head = int64_t(c.content_width) + c.rope_width + c.value_width;
  in.check(c.n_heads * head <= kMaxRows, "attention.head_count", c.n_heads, " heads of this width are too many");
  in.check(c.n_heads * int64_t(c.latent_width) <= kMaxRows, "attention.head_count", c.n_heads,
           " heads are too many for this kv_lora_rank");
  check_experts(c, &in);
  return in.status();
}

}  // namespace

pith_status read_config(const ModelFile& file, Config* config, pith_error* error) {
  std::string_view architecture;
  bool found = false;
  PITH_TRY(file.get_string("general.architecture", &architecture, &found, error));
  if (!found)
    return fail(error, PITH_E_MISSING, "key general.architecture: missing; pith runs what pith quantize writes");
  if (architecture != "egmla")
    return fail(error, PITH_E_ARCHITECTURE, "key general.architecture: \"",
                std::string_view(architecture.data(), architecture.size() < 64 ? architecture.size() : 64),
                "\" is not packed for pith; run pith quantize");
  *config = Config{};
  for (const ConfigKey& key : config_keys()) {
    if (applies(key.scope, *config)) PITH_TRY(read_key(file, key, config, error));
  }
  if (config->n_kv_heads == 0) config->n_kv_heads = config->n_heads;
  if (config->is_mha()) config->rope_width = config->value_width;
  PITH_TRY(refuse_features(file, error));
  return check_relations(*config, error);
}

}  // namespace pith::internal
