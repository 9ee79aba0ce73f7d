#include "model/tensor_list.h"

#include "ground/status.h"

namespace pith::internal {
namespace {

// The shape and presence of a tensor under a configuration.
struct Shape {
  Presence presence;
  int32_t rows, cols;  // rows of one matrix of a stack
};

constexpr Shape required(int32_t rows, int32_t cols) { return {Presence::required, rows, cols}; }
constexpr Shape optional(int32_t rows, int32_t cols) { return {Presence::optional, rows, cols}; }
constexpr Shape kAbsent = {Presence::absent, 0, 0};
constexpr Shape when(bool present, Shape shape) { return present ? shape : kAbsent; }

// Where a tensor's view goes: a matrix, the bias of one, a vector, or a stack of E matrices.
template <typename Owner>
struct Rule {
  const char* name;  // after "blk.N." for layers
  Linear Owner::*matrix;
  const float* Owner::*vector;
  LinearStack Owner::*stack;
  bool is_bias;
  Shape (*shape)(const Config&, int32_t layer);
};

// A row that is a matrix, the bias of the matrix above, a vector, or a stack. `c` is the configuration, `n` the layer.
#define PITH_SHAPE(shape) [](const Config& c, [[maybe_unused]] int32_t n) -> Shape { return shape; }
#define PITH_WEIGHT(Owner, member, name, shape) \
  Rule<Owner> { name ".weight", &Owner::member, nullptr, nullptr, false, PITH_SHAPE(shape) }
#define PITH_BIAS(Owner, member, name, shape) \
  Rule<Owner> { name ".bias", &Owner::member, nullptr, nullptr, true, PITH_SHAPE(shape) }
#define PITH_MATRIX(Owner, member, name, condition, rows, cols)            \
  PITH_WEIGHT(Owner, member, name, when(condition, required(rows, cols))), \
      PITH_BIAS(Owner, member, name, when(condition, optional(1, rows)))
#define PITH_VECTOR(Owner, member, name, shape) \
  Rule<Owner> { name, nullptr, &Owner::member, nullptr, false, PITH_SHAPE(shape) }
#define PITH_STACK(Owner, member, name, condition, rows, cols)                                                 \
  Rule<Owner> {                                                                                                \
    name ".weight", nullptr, nullptr, &Owner::member, false, PITH_SHAPE(when(condition, required(rows, cols))) \
  }

constexpr bool has_block_bias(const Config& c) { return c.block_norm == BlockNorm::layer; }
constexpr bool is_low_rank(const Config& c) { return !c.is_mha() && c.query_latent_width > 0; }
constexpr bool has_head_norm(const Config& c) { return c.is_mha() && c.head_norm == HeadNorm::rms; }
constexpr bool is_gated(const Config& c) { return c.feed_forward == FeedForward::swiglu; }
constexpr bool has_shared(const Config& c, int32_t layer) { return c.has_experts(layer) && c.n_shared_experts > 0; }
constexpr int32_t kv_cols(const Config& c) { return c.n_kv_heads * c.value_width; }

constexpr Rule<Weights> kModelRules[] = {
    PITH_WEIGHT(Weights, embedding, "token_embd", required(c.vocab_size, c.width)),
    PITH_WEIGHT(Weights, output, "output", optional(c.vocab_size, c.width)),
    PITH_BIAS(Weights, output, "output", optional(1, c.vocab_size)),
    PITH_VECTOR(Weights, output_norm, "output_norm.weight", required(1, c.width)),
    PITH_VECTOR(Weights, output_norm_bias, "output_norm.bias", when(has_block_bias(c), optional(1, c.width))),
};

constexpr Rule<Layer> kLayerRules[] = {
    PITH_VECTOR(Layer, attn_norm, "attn_norm.weight", required(1, c.width)),
    PITH_VECTOR(Layer, attn_norm_bias, "attn_norm.bias", when(has_block_bias(c), optional(1, c.width))),
    PITH_MATRIX(Layer, q, "attn_q", !is_low_rank(c), c.query_width(), c.width),
    PITH_MATRIX(Layer, q_a, "attn_q_a", is_low_rank(c), c.query_latent_width, c.width),
    PITH_VECTOR(Layer, q_a_norm, "attn_q_a_norm.weight", when(is_low_rank(c), required(1, c.query_latent_width))),
    PITH_MATRIX(Layer, q_b, "attn_q_b", is_low_rank(c), c.query_width(), c.query_latent_width),
    PITH_MATRIX(Layer, kv_a, "attn_kv_a_mqa", !c.is_mha(), c.latent_width + c.rope_width, c.width),
    PITH_VECTOR(Layer, kv_a_norm, "attn_kv_a_norm.weight",
                when(!c.is_mha() && c.kv_norm == KvNorm::rms, required(1, c.latent_width))),
    // No bias: W_UKV c and W_UE E[id] are linear in what is cached, which absorption rests on.
    PITH_WEIGHT(Layer, kv_b, "attn_kv_b", when(!c.is_mha(), required(c.kv_width(), c.latent_width))),
    PITH_WEIGHT(Layer, gate_up, "attn_gate_up",
                when(c.gate != Gate::none, required(c.gate_output_width(), c.gate_width))),
    PITH_VECTOR(Layer, gate_norm, "attn_gate_norm.weight",
                when(c.gate_norm != GateNorm::none, required(1, c.gate_output_width()))),
    PITH_VECTOR(Layer, gate_norm_bias, "attn_gate_norm.bias",
                when(c.gate_norm != GateNorm::none, optional(1, c.gate_output_width()))),
    PITH_MATRIX(Layer, k, "attn_k", c.is_mha(), kv_cols(c), c.width),
    PITH_MATRIX(Layer, v, "attn_v", c.is_mha(), kv_cols(c), c.width),
    PITH_VECTOR(Layer, q_norm, "attn_q_norm.weight", when(has_head_norm(c), required(1, c.value_width))),
    PITH_VECTOR(Layer, k_norm, "attn_k_norm.weight", when(has_head_norm(c), required(1, c.value_width))),
    PITH_MATRIX(Layer, output, "attn_output", true, c.width, c.head_output_width()),
    PITH_VECTOR(Layer, ffn_norm, "ffn_norm.weight", required(1, c.width)),
    PITH_VECTOR(Layer, ffn_norm_bias, "ffn_norm.bias", when(has_block_bias(c), optional(1, c.width))),
    PITH_MATRIX(Layer, ffn_gate, "ffn_gate", is_gated(c) && !c.has_experts(n), c.feed_forward_width, c.width),
    PITH_MATRIX(Layer, ffn_up, "ffn_up", !c.has_experts(n), c.feed_forward_width, c.width),
    PITH_MATRIX(Layer, ffn_down, "ffn_down", !c.has_experts(n), c.width, c.feed_forward_width),
    PITH_WEIGHT(Layer, router, "ffn_gate_inp", when(c.has_experts(n), required(c.n_experts, c.width))),
    PITH_VECTOR(Layer, router_bias, "exp_probs_b.bias", when(c.has_experts(n), optional(1, c.n_experts))),
    PITH_STACK(Layer, expert_gate, "ffn_gate_exps", is_gated(c) && c.has_experts(n), c.expert_width, c.width),
    PITH_STACK(Layer, expert_up, "ffn_up_exps", c.has_experts(n), c.expert_width, c.width),
    PITH_STACK(Layer, expert_down, "ffn_down_exps", c.has_experts(n), c.width, c.expert_width),
    // As one dense feed-forward.
    PITH_WEIGHT(Layer, ffn_gate, "ffn_gate_shexp",
                when(is_gated(c) && has_shared(c, n), required(c.shared_width(), c.width))),
    PITH_WEIGHT(Layer, ffn_up, "ffn_up_shexp", when(has_shared(c, n), required(c.shared_width(), c.width))),
    PITH_WEIGHT(Layer, ffn_down, "ffn_down_shexp", when(has_shared(c, n), required(c.width, c.shared_width()))),
};

constexpr size_t kModelCount = sizeof kModelRules / sizeof kModelRules[0];
constexpr size_t kLayerCount = sizeof kLayerRules / sizeof kLayerRules[0];

enum Scope : int32_t { kModel, kGateTables, kLayers, kEnd };

// "before" + number + "." + "after", or just "after" for number < 0.
void write_name(char (&name)[64], const char* before, int32_t number, const char* after) {
  size_t n = 0;
  if (number >= 0) {
    while (*before != '\0') name[n++] = *before++;
    char digits[10];
    int count = 0;
    do {
      digits[count++] = char('0' + number % 10);
      number /= 10;
    } while (number != 0);
    while (count > 0) name[n++] = digits[--count];
    name[n++] = '.';
  }
  while (*after != '\0') name[n++] = *after++;
  name[n] = '\0';
}

template <typename Owner>
bool fill_spec(const Rule<Owner>& rule, const Config& config, int32_t layer, TensorSpec* spec) {
  const Shape shape = rule.shape(config, layer);
  if (shape.presence == Presence::absent) return false;
  const bool is_stack = rule.stack != nullptr, is_matrix = rule.matrix != nullptr && !rule.is_bias;
  write_name(spec->name, "blk.", layer, rule.name);
  spec->kind = is_stack ? TensorKind::stack : is_matrix ? TensorKind::matrix : TensorKind::vector;
  spec->presence = shape.presence;
  spec->layer = layer;
  spec->n_matrices = is_stack ? config.n_experts : 1;
  spec->rows = shape.rows * spec->n_matrices;
  spec->cols = shape.cols;
  return true;
}

pith_status check_tensor(const TensorEntry& t, const TensorSpec& spec, pith_error* error) {
  if (t.is_vector != (spec.kind == TensorKind::vector) || t.rows != uint32_t(spec.rows) ||
      t.cols != uint32_t(spec.cols))
    return fail(error, PITH_E_SHAPE, "tensor ", t.name, ": ", t.rows, " x ", t.cols, "; the hyper-parameters ask for ",
                spec.rows, " x ", spec.cols);
  if (t.n_matrices != uint32_t(spec.n_matrices))
    return fail(error, PITH_E_SHAPE, "tensor ", t.name, ": ", t.n_matrices, " matrices; the hyper-parameters ask for ",
                spec.n_matrices);
  return PITH_OK;
}

// A router's products are those of floats, whatever the others are.
pith_status check_router(const Layer& layer, int32_t index, pith_error* error) {
  if (layer.router.w == nullptr || layer.router.type == WeightType::f32) return PITH_OK;
  return fail(error, PITH_E_UNSUPPORTED, "tensor blk.", index, ".ffn_gate_inp.weight: a router must be packed as f32");
}

Linear linear_of(const TensorEntry& t) {
  Linear linear;
  linear.w = t.data;
  linear.rows = int32_t(t.rows / t.n_matrices);
  linear.cols = int32_t(t.cols);
  linear.blocks = int32_t(padded_cols(t.cols) / kBlockCols);
  linear.type = t.packed_type;
  return linear;
}

template <typename Owner>
void bind(const Rule<Owner>& rule, const TensorEntry& tensor, Owner* owner) {
  const float* vector = reinterpret_cast<const float*>(tensor.data);
  if (rule.is_bias) {
    (owner->*rule.matrix).bias = vector;
  } else if (rule.matrix != nullptr) {
    const float* bias = (owner->*rule.matrix).bias;
    owner->*rule.matrix = linear_of(tensor);
    (owner->*rule.matrix).bias = bias;
  } else if (rule.stack != nullptr) {
    owner->*rule.stack = {linear_of(tensor), size_t(tensor.bytes / tensor.n_matrices), int32_t(tensor.n_matrices)};
  } else {
    owner->*rule.vector = vector;
  }
}

// Kept beside the folded weights, or read by the packer only.
bool is_known_extra(std::string_view name) {
  return name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

}  // namespace

bool TensorList::next(TensorSpec* spec) {
  for (;;) {
    const size_t count = scope_ == kModel ? kModelCount : scope_ == kLayers ? kLayerCount : 1;
    const int32_t repeats = scope_ == kModel ? 1 : scope_ == kLayers ? config_.n_layers : config_.n_gate_tables();
    if (scope_ == kEnd) return false;
    if (layer_ >= repeats) {
      ++scope_;
      layer_ = 0;
      rule_ = 0;
      continue;
    }
    if (rule_ >= count) {
      ++layer_;
      rule_ = 0;
      continue;
    }
    current_ = rule_++;
    if (scope_ == kGateTables) {
      *spec = {{}, TensorKind::matrix, Presence::required, layer_, config_.vocab_size, config_.gate_width, 1};
      write_name(spec->name, "gate_embd.", layer_, "weight");
      return true;
    }
    const bool listed = scope_ == kModel ? fill_spec(kModelRules[current_], config_, -1, spec)
                                         : fill_spec(kLayerRules[current_], config_, layer_, spec);
    if (listed) return true;
  }
}

// Walks the list beside the file.
class WeightsBinder {
 public:
  WeightsBinder(ModelFile* file, const Config& config, Weights* weights, pith_error* error)
      : file_(*file), config_(config), list_(config), weights_(weights), error_(error) {}

  pith_status bind_all() {
    TensorSpec spec;
    while (list_.next(&spec)) {
      TensorEntry* tensor = file_.find_tensor(spec.name);
      if (tensor == nullptr) {
        if (spec.presence == Presence::required)
          return fail(error_, PITH_E_MISSING, "tensor ", static_cast<const char*>(spec.name), ": missing");
        continue;
      }
      PITH_TRY(check_tensor(*tensor, spec, error_));
      place(*tensor, spec);
      tensor->is_bound = true;
    }
    for (int32_t layer = 0; layer < config_.n_layers; ++layer)
      PITH_TRY(check_router(weights_->layers[layer], layer, error_));
    return check_strangers();
  }

 private:
  void place(const TensorEntry& tensor, const TensorSpec& spec) {
    if (list_.scope_ == kModel) bind(kModelRules[list_.current_], tensor, weights_);
    else if (list_.scope_ == kLayers) bind(kLayerRules[list_.current_], tensor, &weights_->layers[spec.layer]);
    else weights_->gate_tables[spec.layer] = linear_of(tensor);
  }

  // A tensor that nothing reads would silently change what the model means.
  pith_status check_strangers() {
    for (size_t i = 0; i < file_.n_tensors(); ++i) {
      const TensorEntry& tensor = file_.tensor(i);
      if (!tensor.is_bound && !is_known_extra(tensor.name))
        return fail(error_, PITH_E_UNSUPPORTED, "tensor ", tensor.name, ": not a tensor of this configuration");
    }
    return PITH_OK;
  }

  ModelFile& file_;
  const Config& config_;
  TensorList list_;
  Weights* weights_;
  pith_error* error_;
};

pith_status bind_weights(ModelFile* file, const Config& config, Weights* weights, pith_error* error) {
  PITH_TRY(WeightsBinder(file, config, weights, error).bind_all());
  if (weights->output.w == nullptr) {  // tied
    const float* bias = weights->output.bias;
    weights->output = weights->embedding;
    weights->output.bias = bias;
  }
  return PITH_OK;
}

}  // namespace pith::internal
