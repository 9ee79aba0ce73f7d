#include "model/config_reader.h"

#include "ground/status.h"

namespace pith::internal {
namespace {

constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxWidth = 1 << 20;  // of any vector but the vocabulary
constexpr int64_t kMaxVocab = 1 << 24;
constexpr int64_t kMaxContext = 1 << 30;

// Reads the keys of the architecture; the first failure stays.
class ConfigReader {
 public:
  ConfigReader(const ModelFile& file, pith_error* error) : file_(file), error_(error) {}
  pith_status status() const { return status_; }

  // An integer within [low, high]; with `required` false an absent key leaves *value alone.
  void integer(const char* name, int64_t low, int64_t high, bool required, int32_t* value) {
    if (status_ != PITH_OK) return;
    uint64_t number = 0;
    bool found = false;
    const Key key(name);
    status_ = file_.get_uint(key.text(), &number, &found, error_);
    if (status_ != PITH_OK) return;
    if (!found) return require(key, required);
    if (number < uint64_t(low) || number > uint64_t(high))
      status_ = fail(error_, PITH_E_HPARAM, "key ", key.text(), ": ", number, " is not within ", low, " .. ", high);
    else *value = int32_t(number);
  }

  // A finite number within [low, high].
  void real(const char* name, double low, double high, bool required, float* value) {
    if (status_ != PITH_OK) return;
    double number = 0;
    bool found = false;
    const Key key(name);
    status_ = file_.get_float(key.text(), &number, &found, error_);
    if (status_ != PITH_OK) return;
    if (!found) return require(key, required);
    if (!(number >= low && number <= high))  // false for NaN
      status_ = fail(error_, PITH_E_HPARAM, "key ", key.text(), ": the number is not finite or out of range");
    else *value = float(number);
  }

  void boolean(const char* name, bool* value) {
    if (status_ == PITH_OK) status_ = file_.get_bool(Key(name).text(), value, nullptr, error_);
  }

  // One of `words`; its index becomes *value.
  template <typename Enum, size_t n>
  void word(const char* name, const char* const (&words)[n], bool required, Enum* value) {
    if (status_ != PITH_OK) return;
    std::string_view text;
    bool found = false;
    const Key key(name);
    status_ = file_.get_string(key.text(), &text, &found, error_);
    if (status_ != PITH_OK) return;
    if (!found) return require(key, required);
    for (size_t i = 0; i < n; ++i) {
      if (text == words[i]) {
        *value = Enum(i);
        return;
      }
    }
    status_ = fail(error_, PITH_E_UNSUPPORTED, "key ", key.text(), ": \"", text, "\" is not known to this version");
  }

  // A key that must be absent or 0.
  void absent(const char* name, const char* reason) {
    if (status_ != PITH_OK) return;
    uint64_t number = 0;
    const Key key(name);
    status_ = file_.get_uint(key.text(), &number, nullptr, error_);
    if (status_ == PITH_OK && number != 0) status_ = fail(error_, PITH_E_UNSUPPORTED, "key ", key.text(), ": ", reason);
  }

  template <typename... Pieces>
  void check(bool good, const char* name, const Pieces&... reason) {
    if (status_ == PITH_OK && !good) status_ = fail(error_, PITH_E_HPARAM, "key ", Key(name).text(), ": ", reason...);
  }

 private:
  // "egmla." and the name.
  class Key {
   public:
    explicit Key(const char* name) {
      for (const char* from = "egmla."; *from != '\0';) text_[size_++] = *from++;
      while (*name != '\0' && size_ < sizeof text_) text_[size_++] = *name++;
    }
    std::string_view text() const { return {text_, size_}; }

   private:
    char text_[64];
    size_t size_ = 0;
  };

  void require(const Key& key, bool required) {
    if (required) status_ = fail(error_, PITH_E_MISSING, "key ", key.text(), ": missing");
  }

  const ModelFile& file_;
  pith_error* error_;
  pith_status status_ = PITH_OK;
};

void read_kinds(ConfigReader* in, Config* c) {
  const char* const kinds[] = {"latent", "mha"};
  const char* const gates[] = {"none", "up", "latent"};
  const char* const gate_norms[] = {"none", "rms", "layer", "layer_split"};
  const char* const kv_norms[] = {"rms", "none"};
  const char* const block_norms[] = {"rms", "layer"};
  const char* const feed_forwards[] = {"swiglu", "relu2", "gelu_tanh", "gelu_erf"};
  const char* const scalings[] = {"none", "yarn", "longrope"};
  in->word("attention.kind", kinds, true, &c->attention);
  in->word("attention.gate", gates, false, &c->gate);
  if (c->gate != Gate::none) in->word("attention.gate_norm", gate_norms, true, &c->gate_norm);
  in->word("attention.kv_norm", kv_norms, false, &c->kv_norm);
  in->word("block_norm", block_norms, false, &c->block_norm);
  in->word("feed_forward.kind", feed_forwards, false, &c->feed_forward);
  in->word("rope.scaling.type", scalings, false, &c->rope_scaling);
  in->boolean("rope.interleaved", &c->rope_interleaved);
  in->boolean("folded", &c->folded);
}

void read_widths(ConfigReader* in, Config* c) {
  in->integer("block_count", 1, kMaxLayers, true, &c->n_layers);
  in->integer("embedding_length", 1, kMaxWidth, true, &c->width);
  in->integer("attention.head_count", 1, 4096, true, &c->n_heads);
  in->integer("attention.value_length", 8, 4096, true, &c->value_width);
  in->integer("feed_forward_length", 1, kMaxWidth, true, &c->feed_forward_width);
  in->integer("vocab_size", 1, kMaxVocab, true, &c->vocab_size);
  in->integer("context_length", 1, kMaxContext, true, &c->context_length);
  c->n_kv_heads = c->n_heads;
  if (c->is_mha()) {
    c->rope_width = c->value_width;
    in->integer("attention.head_count_kv", 1, 4096, false, &c->n_kv_heads);
    return;
  }
  in->integer("attention.key_length_content", 8, 4096, true, &c->content_width);
  in->integer("rope.dimension_count", 2, 4096, true, &c->rope_width);
  in->integer("attention.kv_lora_rank", 8, 65536, true, &c->latent_width);
  in->integer("attention.q_lora_rank", 1, kMaxWidth, false, &c->query_latent_width);
  if (c->gate == Gate::none) return;
  in->integer("attention.gate_length", 1, 65536, true, &c->gate_width);
  in->integer("attention.layer_group_size", 1, kMaxLayers, true, &c->layer_group_size);
}

void read_numbers(ConfigReader* in, Config* c) {
  constexpr double kTiny = 1e-12, kHuge = 1e12;
  in->real("attention.layer_norm_rms_epsilon", kTiny, 1, false, &c->block_norm_epsilon);
  in->real("block_norm_epsilon", kTiny, 1, false, &c->block_norm_epsilon);
  in->real("attention.kv_norm_epsilon", kTiny, 1, false, &c->kv_norm_epsilon);
  in->real("attention.q_norm_epsilon", kTiny, 1, false, &c->q_norm_epsilon);
  in->real("attention.gate_norm_epsilon", kTiny, 1, false, &c->gate_norm_epsilon);
  in->real("embedding_scale", -kHuge, kHuge, false, &c->embedding_scale);
  in->real("residual_scale", -kHuge, kHuge, false, &c->residual_scale);
  in->real("logit_scale", -kHuge, kHuge, false, &c->logit_scale);
  in->real("rope.freq_base", 1, kHuge, false, &c->rope_base);
  if (c->rope_scaling == RopeScaling::none) return;
  in->real("rope.scaling.factor", 1, 1e6, true, &c->rope_factor);
  in->integer("rope.scaling.original_context_length", 2, kMaxContext, true, &c->rope_original_context);
  in->real("rope.scaling.yarn_log_multiplier", 0, 100, false, &c->yarn_log_multiplier);
  in->real("rope.scaling.yarn_beta_fast", kTiny, 1e6, false, &c->yarn_beta_fast);
  in->real("rope.scaling.yarn_beta_slow", kTiny, 1e6, false, &c->yarn_beta_slow);
}

// Features that would change the result if they were passed over.
void refuse_features(ConfigReader* in) {
  in->absent("expert_count", "mixtures of experts are not supported");
  in->absent("attention.sliding_window", "sliding windows inside a layer are not supported");
}

// What must hold between the keys.
void check_relations(ConfigReader* in, const Config& c) {
  constexpr int64_t kMaxRows = 1 << 24;
  in->check(c.value_width % 8 == 0, "attention.value_length", c.value_width, " is not a multiple of 8");
  in->check(c.content_width % 8 == 0, "attention.key_length_content", c.content_width, " is not a multiple of 8");
  in->check(c.rope_width % 2 == 0, "rope.dimension_count", c.rope_width, " is odd");
  in->check(c.latent_width % 8 == 0, "attention.kv_lora_rank", c.latent_width, " is not a multiple of 8");
  in->check(c.n_kv_heads <= c.n_heads && c.n_heads % c.n_kv_heads == 0, "attention.head_count_kv", c.n_kv_heads,
            " does not divide the ", c.n_heads, " heads");
  in->check(!c.is_mha() || c.gate == Gate::none, "attention.gate", "a gate needs latent attention");
  in->check(c.gate != Gate::latent || c.gate_norm != GateNorm::layer_split, "attention.gate_norm",
            "a gated latent has no k and v parts to norm apart");
  const int64_t head = int64_t(c.content_width) + c.rope_width + c.value_width;
  in->check(c.n_heads * head <= kMaxRows, "attention.head_count", c.n_heads, " heads of this width are too many");
  in->check(c.n_heads * int64_t(c.latent_width) <= kMaxRows, "attention.head_count", c.n_heads,
            " heads are too many for this kv_lora_rank");
}

}  // namespace

pith_status read_config(const ModelFile& file, Config* config, pith_error* error) {
  std::string_view architecture;
  bool found = false;
  PITH_TRY(file.get_string("general.architecture", &architecture, &found, error));
  if (!found) return fail(error, PITH_E_MISSING, "key general.architecture: missing; pith runs \"egmla\"");
  if (architecture != "egmla")
    return fail(error, PITH_E_ARCHITECTURE, "key general.architecture: \"",
                std::string_view(architecture.data(), architecture.size() < 64 ? architecture.size() : 64),
                "\" is not supported; pith runs \"egmla\"");
  *config = Config{};
  ConfigReader in(file, error);
  read_kinds(&in, config);
  read_widths(&in, config);
  if (in.status() == PITH_OK) read_numbers(&in, config);
  refuse_features(&in);
  if (in.status() == PITH_OK) check_relations(&in, *config);
  return in.status();
}

}  // namespace pith::internal
