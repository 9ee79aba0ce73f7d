#include "reference/reference_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

namespace pith::test {

using namespace internal;
namespace {

// A metadata number of any width, or a boolean.
double number_of(const MetaEntry& entry) {
  const auto read = [&](auto value) {
    std::memcpy(&value, entry.value, sizeof value);
    return double(value);
  };
  switch (entry.type) {
    case GgufType::u8:
    case GgufType::boolean: return read(uint8_t{});
    case GgufType::i8: return read(int8_t{});
    case GgufType::u16: return read(uint16_t{});
    case GgufType::i16: return read(int16_t{});
    case GgufType::u32: return read(uint32_t{});
    case GgufType::i32: return read(int32_t{});
    case GgufType::u64: return read(uint64_t{});
    case GgufType::i64: return read(int64_t{});
    case GgufType::f32: return read(float{});
    case GgufType::f64: return read(double{});
    default: throw std::runtime_error(std::string(entry.key) + " is no number");
  }
}

// [rows, cols] of a tensor with elements of type T; a vector is one row.
template <typename T>
Matrix widen(const TensorEntry& t) {
  using Stored = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Stored values(int64_t(t.dims[1]), int64_t(t.dims[0]));
  if (size_t(values.size()) * sizeof(T) != t.bytes) throw std::runtime_error(std::string(t.name) + " has other bytes");
  std::memcpy(static_cast<void*>(values.data()), t.data, t.bytes);
  return values.template cast<double>();
}

}  // namespace

ReferenceModel::ReferenceModel(const std::vector<uint8_t>& float_gguf) : bytes_(float_gguf.size() / 8 + 1) {
  std::memcpy(bytes_.data(), float_gguf.data(), float_gguf.size());
  pith_error error{};
  size_t size = 0;
  if (ModelFile::directory_bytes(bytes_.data(), float_gguf.size(), &size, &error) != PITH_OK)
    throw std::runtime_error(error.message);
  directory_.resize(size / 8 + 1);
  if (file_.open(bytes_.data(), float_gguf.size(), directory_.data(), &error) != PITH_OK)
    throw std::runtime_error(error.message);
  is_mha_ = word("attention.kind", "") == "mha";
  gate_ = word("attention.gate", "none");
  gate_norm_ = word("attention.gate_norm", "none");
  kv_norm_ = word("attention.kv_norm", "rms");
  block_norm_ = word("block_norm", "rms");
  feed_forward_ = word("feed_forward.kind", "swiglu");
  scaling_ = word("rope.scaling.type", "none");
  n_layers_ = int64_t(number("block_count", 0));
  n_heads_ = int64_t(number("attention.head_count", 0));
  n_kv_heads_ = int64_t(number("attention.head_count_kv", uint64_t(n_heads_)));
  d_v_ = int64_t(number("attention.value_length", 0));
  d_n_ = is_mha_ ? 0 : int64_t(number("attention.key_length_content", 0));
  d_r_ = is_mha_ ? d_v_ : int64_t(number("rope.dimension_count", 0));
  r_ = int64_t(number("attention.kv_lora_rank", 0));
  lgz_ = int64_t(number("attention.layer_group_size", 1));
  read_rope();
}

uint64_t ReferenceModel::number(const char* key, uint64_t otherwise) const {
  return uint64_t(real(key, double(otherwise)));
}

double ReferenceModel::real(const char* key, double otherwise) const {
  const MetaEntry* entry = file_.find_meta(std::string("egmla.") + key);
  return entry == nullptr ? otherwise : number_of(*entry);
}

std::string ReferenceModel::word(const char* key, const char* otherwise) const {
  const MetaEntry* entry = file_.find_meta(std::string("egmla.") + key);
  if (entry == nullptr) return otherwise;
  if (entry->type != GgufType::string) throw std::runtime_error(std::string(key) + " is no string");
  return std::string(reinterpret_cast<const char*>(entry->value) + 8, entry->value_bytes - 8);  // after its length
}

Matrix ReferenceModel::matrix(const std::string& name) const {
  const TensorEntry* t = file_.find_tensor(name);
  if (t == nullptr) throw std::runtime_error("no tensor " + name);
  switch (t->type) {
    case TensorType::f32: return widen<float>(*t);
    case TensorType::f16: return widen<Eigen::half>(*t);
    case TensorType::bf16: return widen<Eigen::bfloat16>(*t);
    default: throw std::runtime_error("tensor " + name + " is not of floats");
  }
}

Vector ReferenceModel::vector(const std::string& name) const { return matrix(name).row(0).transpose(); }

// YaRN as DeepSeek-V2 publishes it, LongRoPE as Phi-3 does.
void ReferenceModel::read_rope() {
  const double base = real("rope.freq_base", 10000), factor = real("rope.scaling.factor", 1);
  const double original = double(number("rope.scaling.original_context_length", 1));
  const auto lane_of = [&](double turns) {
    return double(d_r_) * std::log(original / (turns * 2 * std::numbers::pi)) / (2 * std::log(base));
  };
  const bool is_long = double(number("context_length", 0)) > original;
  const Vector divisors = scaling_ == "longrope"
                              ? vector(is_long ? "rope_factors_long.weight" : "rope_factors_short.weight")
                              : Vector::Ones(d_r_ / 2);
  const double low = std::max(std::floor(lane_of(real("rope.scaling.yarn_beta_fast", 32))), 0.0);
  double high = std::min(std::ceil(lane_of(real("rope.scaling.yarn_beta_slow", 1))), double(d_r_ - 1));
  if (low == high) high += 0.001;
  for (int64_t i = 0; i < d_r_ / 2; ++i) {
    double frequency = 1 / std::pow(base, 2.0 * double(i) / double(d_r_));
    if (scaling_ == "yarn") {
      const double extrapolated = 1 - std::min(1.0, std::max(0.0, (double(i) - low) / (high - low)));
      frequency = frequency / factor * (1 - extrapolated) + frequency * extrapolated;
    }
    frequencies_.push_back(frequency / divisors[i]);
  }
  const double mscale = scaling_ == "yarn" ? 1 + real("rope.scaling.yarn_log_multiplier", 0) * std::log(factor) : 1;
  score_scale_ = mscale * mscale / std::sqrt(double(d_n_ + d_r_));
  rope_magnitude_ = scaling_ == "longrope" ? std::sqrt(1 + std::log(factor) / std::log(original)) : 1;
}

Vector ReferenceModel::linear(const std::string& name, const Vector& x) const {
  Vector y = matrix(name + ".weight") * x;
  if (has(name + ".bias")) y += vector(name + ".bias");
  return y;
}

Vector ReferenceModel::rms(const Vector& x, double eps) const {
  return x / std::sqrt(x.squaredNorm() / double(x.size()) + eps);
}

static Vector standardized(const Vector& x, double eps) {
  const Vector centered = x.array() - x.mean();
  return centered / std::sqrt(centered.squaredNorm() / double(x.size()) + eps);
}

Vector ReferenceModel::block_norm(const std::string& name, const Vector& x) const {
  const double eps = real("block_norm_epsilon", real("attention.layer_norm_rms_epsilon", 1e-6));
  Vector y = (block_norm_ == "rms" ? rms(x, eps) : standardized(x, eps)).cwiseProduct(vector(name + ".weight"));
  if (has(name + ".bias")) y += vector(name + ".bias");
  return y;
}

// norm_g over all channels, or over the k and the v channels of all heads apart.
Vector ReferenceModel::gate_norm(const std::string& name, const Vector& x) const {
  if (gate_norm_ == "none") return x;
  const double eps = real("attention.gate_norm_epsilon", 1e-6);
  Vector y = gate_norm_ == "rms" ? rms(x, eps) : standardized(x, eps);
  if (gate_norm_ == "layer_split") {
    Matrix heads = Eigen::Map<const Matrix>(x.data(), n_heads_, d_n_ + d_v_);
    const auto part = [&](int64_t first, int64_t width) {
      const Matrix block = heads.middleCols(first, width);
      const Vector flat = standardized(Eigen::Map<const Vector>(block.data(), block.size()), eps);
      heads.middleCols(first, width) = Eigen::Map<const Matrix>(flat.data(), n_heads_, width);
    };
    part(0, d_n_);
    part(d_n_, d_v_);
    y = Eigen::Map<const Vector>(heads.data(), heads.size());
  }
  y = y.cwiseProduct(vector(name + ".weight"));
  if (has(name + ".bias")) y += vector(name + ".bias");
  return y;
}

Vector ReferenceModel::gate(int layer, int32_t id) const {
  const Matrix table = matrix("gate_embd." + std::to_string(layer / lgz_) + ".weight");
  return matrix("blk." + std::to_string(layer) + ".attn_gate_up.weight") * table.row(id).transpose();
}

// Rows are heads; as they are where the model does not norm them.
Matrix ReferenceModel::normed_heads(const std::string& name, Matrix heads) const {
  if (word("attention.head_norm", "none") == "none") return heads;
  for (int64_t h = 0; h < heads.rows(); ++h)
    heads.row(h) = rms(heads.row(h).transpose(), real("attention.q_norm_epsilon", 1e-6)).cwiseProduct(vector(name));
  return heads;
}

Vector ReferenceModel::rotate(const Vector& x, double position) const {
  const bool pairs = real("rope.interleaved", 1) != 0;
  Vector y(x.size());
  const int64_t half = x.size() / 2;
  for (int64_t i = 0; i < half; ++i) {
    const int64_t a = pairs ? 2 * i : i, b = pairs ? 2 * i + 1 : half + i;
    const double angle = position * frequencies_[size_t(i)];
    y[a] = rope_magnitude_ * (x[a] * std::cos(angle) - x[b] * std::sin(angle));
    y[b] = rope_magnitude_ * (x[a] * std::sin(angle) + x[b] * std::cos(angle));
  }
  return y;
}

ReferenceModel::Token ReferenceModel::cache(int layer, int32_t id, int64_t position, const Vector& x) const {
  const std::string b = "blk." + std::to_string(layer) + ".";
  Token token{id, position, {}, {}, {}, {}};
  if (is_mha_) {
    const Vector k = linear(b + "attn_k", x), v = linear(b + "attn_v", x);
    token.keys = normed_heads(b + "attn_k_norm.weight", Eigen::Map<const Matrix>(k.data(), n_kv_heads_, d_v_));
    token.values = Eigen::Map<const Matrix>(v.data(), n_kv_heads_, d_v_);
    return token;
  }
  const Vector down = linear(b + "attn_kv_a_mqa", x);
  token.latent = down.head(r_);
  token.rope = down.tail(d_r_);
  if (kv_norm_ == "rms")
    token.latent =
        rms(token.latent, real("attention.kv_norm_epsilon", 1e-6)).cwiseProduct(vector(b + "attn_kv_a_norm.weight"));
  if (gate_ == "latent") token.latent = gate_norm(b + "attn_gate_norm", token.latent.cwiseProduct(gate(layer, id)));
  const Matrix up = matrix(b + "attn_kv_b.weight");
  Vector u = up * token.latent;
  if (gate_ == "up") u = gate_norm(b + "attn_gate_norm", u.cwiseProduct(gate(layer, id)));
  const Matrix heads = Eigen::Map<const Matrix>(u.data(), n_heads_, d_n_ + d_v_);
  token.keys = heads.leftCols(d_n_);
  token.values = heads.rightCols(d_v_);
  return token;
}

Vector ReferenceModel::attention(int layer, const Vector& x, int64_t position, const std::vector<const Token*>& seen,
                                 int64_t capacity, int64_t n_keep) const {
  const std::string b = "blk." + std::to_string(layer) + ".";
  Vector q;
  if (has(b + "attn_q_a.weight")) {
    const Vector low = rms(linear(b + "attn_q_a", x), real("attention.q_norm_epsilon", 1e-6));
    q = linear(b + "attn_q_b", low.cwiseProduct(vector(b + "attn_q_a_norm.weight")));
  } else {
    q = linear(b + "attn_q", x);
    const Matrix heads =
        normed_heads(b + "attn_q_norm.weight", Eigen::Map<const Matrix>(q.data(), n_heads_, d_n_ + d_r_));
    q = Eigen::Map<const Vector>(heads.data(), heads.size());
  }
  Vector out(n_heads_ * d_v_);
  for (int64_t h = 0; h < n_heads_; ++h) {
    const Vector content = q.segment(h * (d_n_ + d_r_), d_n_), rope = q.segment(h * (d_n_ + d_r_) + d_n_, d_r_);
    const int64_t kv = h * n_kv_heads_ / n_heads_;
    Vector scores(int64_t(seen.size()));
    for (size_t t = 0; t < seen.size(); ++t) {
      const Token& token = *seen[t];
      const bool is_pinned = token.position < n_keep;
      const double at = double(is_pinned ? std::min(position, capacity - 1) : position);
      const Vector key = is_mha_ ? Vector(token.keys.row(kv)) : token.rope;
      double score = rotate(rope, at).dot(rotate(key, double(token.position)));
      if (!is_mha_) score += content.dot(token.keys.row(h));
      scores[int64_t(t)] = score * score_scale_;
    }
    const Vector weights = (scores.array() - scores.maxCoeff()).exp();
    Vector mixed = Vector::Zero(d_v_);
    for (size_t t = 0; t < seen.size(); ++t)
      mixed += weights[int64_t(t)] / weights.sum() * seen[t]->values.row(is_mha_ ? kv : h);
    out.segment(h * d_v_, d_v_) = mixed;
  }
  return linear(b + "attn_output", out);
}

// Matrix n of those that a tensor [n][rows][cols] holds.
Matrix ReferenceModel::matrix_of(const std::string& name, int64_t n) const {
  const TensorEntry* t = file_.find_tensor(name);
  if (t == nullptr || t->type != TensorType::f32) throw std::runtime_error("no float tensor " + name);
  TensorEntry one = *t;
  one.bytes = t->bytes / t->dims[2];
  one.data = t->data + one.bytes * uint64_t(n);
  return widen<float>(one);
}

// Scores, then experts one by one, by sorting: the groups, their experts. Shared experts are one feed-forward.
Vector ReferenceModel::mixture(const std::string& b, const Vector& x) const {
  const int64_t n = int64_t(number("expert_count", 0)), n_used = int64_t(number("expert_used_count", 0));
  const int64_t n_groups = int64_t(number("expert_group_count", 1));
  const int64_t n_used_groups = int64_t(number("expert_group_used_count", 1));
  const bool is_sigmoid = word("expert_gating_func", "softmax") == "sigmoid";
  const Vector logits = matrix(b + "ffn_gate_inp.weight") * x;
  const Vector e = (logits.array() - logits.maxCoeff()).exp();
  const Vector scores = is_sigmoid ? Vector(1 / (1 + (-logits.array()).exp())) : Vector(e / e.sum());
  Vector ranked = scores;
  if (has(b + "exp_probs_b.bias")) ranked += vector(b + "exp_probs_b.bias");
  const auto sorted = [](std::vector<std::pair<double, int64_t>> list) {  // best first, then by number
    std::stable_sort(list.begin(), list.end(), [](const auto& p, const auto& q) { return p.first > q.first; });
    return list;
  };
  std::vector<std::pair<double, int64_t>> groups, candidates;
  for (int64_t g = 0; g < n_groups; ++g) {
    std::vector<std::pair<double, int64_t>> members;
    for (int64_t i = 0; i < n / n_groups; ++i) members.emplace_back(ranked[g * (n / n_groups) + i], i);
    members = sorted(members);
    const double second = is_sigmoid && members.size() > 1 ? members[1].first : 0;
    groups.emplace_back(members[0].first + second, g);
  }
  const auto take = [&](std::vector<std::pair<double, int64_t>>* list, int64_t count) {
    *list = sorted(*list);
    if (size_t(count) < list->size())
      least_margin_ = std::min(least_margin_, (*list)[size_t(count) - 1].first - (*list)[size_t(count)].first);
    list->resize(size_t(count));
  };
  take(&groups, n_used_groups);
  std::sort(groups.begin(), groups.end(), [](const auto& p, const auto& q) { return p.second < q.second; });
  for (const auto& group : groups) {
    for (int64_t i = 0; i < n / n_groups; ++i) {
      const int64_t expert = group.second * (n / n_groups) + i;
      candidates.emplace_back(ranked[expert], expert);
    }
  }
  take(&candidates, n_used);
  double sum = 0;
  for (const auto& chosen : candidates) sum += scores[chosen.second];
  const double divisor = number("expert_weights_norm", 0) != 0 ? sum : 1;
  Vector y = Vector::Zero(x.size());
  if (number("expert_shared_count", 0) > 0)
    y = linear(b + "ffn_down_shexp", activated(b + "ffn_up_shexp", b + "ffn_gate_shexp", x));
  for (const auto& chosen : candidates) {
    const int64_t expert = chosen.second;
    Vector gate = Vector::Zero(0);
    if (feed_forward_ == "swiglu") gate = matrix_of(b + "ffn_gate_exps.weight", expert) * x;
    const Vector hidden = activation(matrix_of(b + "ffn_up_exps.weight", expert) * x, gate);
    const double weight = scores[expert] / divisor * real("expert_weights_scale", 1);
    y += weight * (matrix_of(b + "ffn_down_exps.weight", expert) * hidden);
  }
  return y;
}

Vector ReferenceModel::activated(const std::string& up, const std::string& gate, const Vector& x) const {
  return activation(linear(up, x), feed_forward_ == "swiglu" ? linear(gate, x) : Vector());
}

Vector ReferenceModel::feed_forward(const std::string& b, const Vector& x) const {
  if (has(b + "ffn_gate_inp.weight")) return mixture(b, x);
  return linear(b + "ffn_down", activated(b + "ffn_up", b + "ffn_gate", x));
}

Vector ReferenceModel::activation(Vector up, const Vector& g) const {
  if (feed_forward_ == "swiglu") {
    up = up.array() * g.array() / (1 + (-g.array()).exp());
  } else if (feed_forward_ == "relu2") {
    up = up.cwiseMax(0).array().square();
  } else if (feed_forward_ == "gelu_tanh") {
    up = up.unaryExpr([](double v) {
      return 0.5 * v * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
    });
  } else {
    up = up.unaryExpr([](double v) { return 0.5 * v * (1 + std::erf(v / std::numbers::sqrt2)); });
  }
  return up;
}

Matrix ReferenceModel::ring_logits(const std::vector<int32_t>& tokens, int64_t capacity, int64_t n_keep) const {
  const Matrix embedding = matrix("token_embd.weight");
  const Matrix output = has("output.weight") ? matrix("output.weight") : embedding;
  const double residual_scale = real("residual_scale", 1);
  Matrix all(int64_t(tokens.size()), embedding.rows());
  std::vector<std::vector<Token>> layers(static_cast<size_t>(n_layers_));
  for (size_t p = 0; p < tokens.size(); ++p) {
    const int64_t position = int64_t(p);
    Vector h = real("embedding_scale", 1) * embedding.row(tokens[p]).transpose();
    for (int layer = 0; layer < n_layers_; ++layer) {
      const std::string b = "blk." + std::to_string(layer) + ".";
      std::vector<Token>& history = layers[size_t(layer)];
      const Vector x = block_norm(b + "attn_norm", h);
      history.push_back(cache(layer, tokens[p], position, x));
      std::vector<const Token*> seen;
      for (const Token& token : history) {
        const bool is_pinned = token.position < n_keep, is_recent = position - token.position < capacity - n_keep;
        if (is_pinned || is_recent || position < capacity) seen.push_back(&token);
      }
      h += residual_scale * attention(layer, x, position, seen, capacity, n_keep);
      h += residual_scale * feed_forward(b, block_norm(b + "ffn_norm", h));
    }
    Vector logits = output * block_norm("output_norm", h);
    if (has("output.bias")) logits += vector("output.bias");
    all.row(position) = real("logit_scale", 1) * logits.transpose();
  }
  return all;
}

}  // namespace pith::test
