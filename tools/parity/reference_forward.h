// The reference's forward pass over a whole token sequence, in the order of the equations and with no cache, on a Device:
//
//   Device::Block<T>                    memory of n numbers: Block(n), from a host vector, data(), to_host()
//   each(n, step)                       step(i) for all i in [0, n)
//   matmul(w, x, n, rows, cols, y)      y [n, rows] = x [n, cols] W^T, W [rows, cols], in float32
//
// It reads names and shapes from the model file; no step of it is of src/ or simd/.
#ifndef PITH_PARITY_REFERENCE_FORWARD_H
#define PITH_PARITY_REFERENCE_FORWARD_H

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "forward_trace.h"
#include "plain_model.h"
#include "reference_steps.h"

namespace pith::parity {

template <typename Device>
class ReferenceForward {
 public:
  using Floats = typename Device::template Block<float>;

  ReferenceForward(const PlainModel& model, const std::vector<int32_t>& tokens)
      : model_(model), c_(model.config), n_(int64_t(tokens.size())), ids_(tokens), x_(size_t(n_ * c_.width)) {
    trace_.tokens = tokens;
    make_angles();
  }

  ForwardTrace run() {
    device_.each(n_ * c_.width,
                 TakeRows{weight("token_embd.weight"), ids_.data(), c_.width, c_.embedding_scale, x_.data()});
    note("embedding", x_, {c_.width});
    for (layer_ = 0; layer_ < c_.n_layers; ++layer_) {
      run_attention();
      run_feed_forward();
    }
    Floats normed = block_norm("output_norm", "output_in");
    const bool is_tied = model_.find("output.weight") == nullptr;
    Floats logits = multiply(is_tied ? "token_embd.weight" : "output.weight", "output.bias", normed, c_.vocab_size);
    device_.each(n_ * c_.vocab_size, Scale{c_.logit_scale, logits.data()});
    note("logits", logits, {c_.vocab_size});
    return std::move(trace_);
  }

 private:
  // ---- Weights and traces ----

  std::string name(const char* tensor) const { return "blk." + std::to_string(layer_) + "." + tensor; }

  // On the device; NULL: the model has no such tensor.
  const float* weight(const std::string& full_name) {
    const auto found = weights_.find(full_name);
    if (found != weights_.end()) return found->second.data();
    const std::vector<float>* host = model_.find(full_name);
    return host == nullptr ? nullptr : weights_.emplace(full_name, Floats(*host)).first->second.data();
  }

  void note(const std::string& full_name, const Floats& x, const std::vector<int64_t>& shape) {
    const std::vector<float> host = x.to_host();
    TraceTensor& tensor = trace_.make(full_name, shape);
    tensor.x.assign(host.begin(), host.end());
  }
  void note_layer(const char* tensor, const Floats& x, const std::vector<int64_t>& shape) {
    note(layer_name(int32_t(layer_), tensor), x, shape);
  }

  // ---- Pieces ----

  Floats multiply(const std::string& w, const std::string& bias, const Floats& x, int64_t rows) {
    Floats y(size_t(n_ * rows));
    device_.matmul(weight(w), x.data(), n_, rows, int64_t(x.size()) / n_, y.data());
    if (const float* b = weight(bias); b != nullptr) device_.each(n_ * rows, AddBias{b, rows, y.data()});
    return y;
  }
  Floats linear(const char* tensor, const Floats& x, int64_t rows) {
    return multiply(name(tensor) + ".weight", name(tensor) + ".bias", x, rows);
  }
  Floats columns(const Floats& x, int64_t stride, int64_t first, int64_t width) {
    Floats y(size_t(n_ * width));
    device_.each(n_ * width, TakeColumns{x.data(), stride, first, width, y.data()});
    return y;
  }

  // The residual stream, normed.
  Floats block_norm(const std::string& full_name, const std::string& traced_as) {
    Floats y(x_.size());
    device_.each(n_, Norm{x_.data(), weight(full_name + ".weight"), weight(full_name + ".bias"), c_.width, 0, c_.width,
                          c_.width, c_.block_norm_epsilon, c_.block_norm == BlockNorm::layer, y.data()});
    note(traced_as, y, {c_.width});
    return y;
  }

  void rms(const std::string& full_name, float eps, Floats* x) {
    const int64_t width = int64_t(x->size()) / n_;
    device_.each(n_, Norm{x->data(), weight(full_name), nullptr, width, 0, width, width, eps, false, x->data()});
  }

  // x [T, heads, d_v], every head by itself.
  void norm_heads(const char* tensor, int64_t heads, Floats* x) {
    if (c_.head_norm == HeadNorm::none) return;
    const int64_t width = c_.value_width;
    device_.each(n_ * heads, Norm{x->data(), weight(name(tensor)), nullptr, width, 0, width, width, c_.q_norm_epsilon,
                                  false, x->data()});
  }

  void gate_norm(Floats* x) {
    const int64_t width = int64_t(x->size()) / n_;
    Norm norm{x->data(),
              weight(name("attn_gate_norm.weight")),
              weight(name("attn_gate_norm.bias")),
              width,
              0,
              width,
              width,
              c_.gate_norm_epsilon,
              c_.gate_norm != GateNorm::rms,
              x->data()};
    if (c_.gate_norm == GateNorm::none) return;
    if (c_.gate_norm != GateNorm::layer_split) return device_.each(n_, norm);
    norm.period = c_.kv_head_width();
    norm.part = c_.content_width;
    device_.each(n_, norm);
    norm.first = c_.content_width;
    norm.part = c_.value_width;
    device_.each(n_, norm);
  }

  // x *= W_UE E[id].
  void apply_gate(Floats* x) {
    const int64_t width = c_.gate_output_width();
    Floats e(size_t(n_ * c_.gate_width));
    const std::string table = "gate_embd." + std::to_string(layer_ / c_.layer_group_size) + ".weight";
    device_.each(n_ * c_.gate_width, TakeRows{weight(table), ids_.data(), c_.gate_width, 1, e.data()});
    const Floats gate = linear("attn_gate_up", e, width);
    note_layer("gate", gate, {width});
    device_.each(n_ * width, Multiply{gate.data(), x->data()});
    gate_norm(x);
  }

  void rotate(int64_t heads, int64_t head_width, Floats* x) {
    const int64_t pairs = c_.rope_width / 2;
    device_.each(n_ * heads * pairs, Rotate{cosine_.data(), sine_.data(), heads, head_width, head_width - c_.rope_width,
                                            pairs, c_.rope_interleaved, x->data()});
  }

  // cos and sin of every position and pair, from turns in 0.64 fixed point, rounded once.
  void make_angles() {
    constexpr double kTurn = 6.283185307179586477;  // radians
    const double magnitude = rope_magnitude(c_);
    std::vector<float> cosine, sine;
    for (int64_t t = 0; t < n_; ++t) {
      for (const uint64_t turns : model_.rope_turns) {
        const double angle = kTurn * double(int64_t(uint64_t(t) * turns)) * 0x1p-64;
        cosine.push_back(float(magnitude * std::cos(angle)));
        sine.push_back(float(magnitude * std::sin(angle)));
      }
    }
    cosine_ = Floats(cosine);
    sine_ = Floats(sine);
  }

  // ---- Blocks ----

  void run_attention() {
    const Floats x = block_norm(name("attn_norm"), layer_name(int32_t(layer_), "attn_in"));
    const int64_t query_head = c_.query_head_width();
    Floats q = query(x);
    rotate(c_.n_heads, query_head, &q);
    note_layer("q", q, {c_.n_heads, query_head});
    if (c_.is_mha()) {
      Floats k = linear("attn_k", x, c_.n_kv_heads * c_.value_width);
      const Floats v = linear("attn_v", x, c_.n_kv_heads * c_.value_width);
      norm_heads("attn_k_norm.weight", c_.n_kv_heads, &k);
      rotate(c_.n_kv_heads, c_.value_width, &k);
      note_layer("k", k, {c_.n_kv_heads, c_.value_width});
      note_layer("v", v, {c_.n_kv_heads, c_.value_width});
      return attend(
          q,
          Scores{q.data(), k.data(), nullptr, n_, c_.n_heads, c_.n_kv_heads, query_head, 0, c_.value_width, 0, nullptr},
          v, 0);
    }
    const int64_t down_width = c_.latent_width + c_.rope_width;
    const Floats down = linear("attn_kv_a_mqa", x, down_width);
    Floats latent = columns(down, down_width, 0, c_.latent_width);
    Floats k_rope = columns(down, down_width, c_.latent_width, c_.rope_width);
    if (c_.kv_norm == KvNorm::rms) rms(name("attn_kv_a_norm.weight"), c_.kv_norm_epsilon, &latent);
    if (c_.gate == Gate::latent) apply_gate(&latent);
    rotate(1, c_.rope_width, &k_rope);
    note_layer("c", latent, {c_.latent_width});
    note_layer("k_rope", k_rope, {c_.rope_width});
    Floats kv = multiply(name("attn_kv_b.weight"), "", latent, c_.kv_width());
    if (c_.gate == Gate::up) apply_gate(&kv);
    note_keys_values(kv);
    attend(q,
           Scores{q.data(), kv.data(), k_rope.data(), n_, c_.n_heads, c_.n_heads, c_.content_width, c_.rope_width,
                  c_.kv_head_width(), 0, nullptr},
           kv, c_.content_width);
  }

  Floats query(const Floats& x) {
    if (c_.is_mha() || c_.query_latent_width == 0) {
      Floats q = linear("attn_q", x, c_.query_width());
      norm_heads("attn_q_norm.weight", c_.n_heads, &q);
      return q;
    }
    Floats low = linear("attn_q_a", x, c_.query_latent_width);
    rms(name("attn_q_a_norm.weight"), c_.q_norm_epsilon, &low);
    return linear("attn_q_b", low, c_.query_width());
  }

  // kv [T, n_h, d_n + d_v] as two tensors.
  void note_keys_values(const Floats& kv) {
    const std::vector<float> host = kv.to_host();
    TraceTensor& k = trace_.make(layer_name(int32_t(layer_), "k"), {c_.n_heads, c_.content_width});
    TraceTensor& v = trace_.make(layer_name(int32_t(layer_), "v"), {c_.n_heads, c_.value_width});
    k.x.clear();
    v.x.clear();
    for (auto head = host.begin(); head != host.end(); head += c_.kv_head_width()) {
      k.x.insert(k.x.end(), head, head + c_.content_width);
      v.x.insert(v.x.end(), head + c_.content_width, head + c_.kv_head_width());
    }
  }

  // `step` lacks its output and scale. values: the heads of step.keys' shape, value lanes from `value_first` on.
  void attend(const Floats&, Scores step, const Floats& values, int64_t value_first) {
    const int64_t n_scores = n_ * c_.n_heads * n_, width = c_.value_width;
    Floats scores{size_t(n_scores)}, weights{size_t(n_scores)}, heads{size_t(n_ * c_.n_heads * width)};
    step.scale = float(score_scale(c_));
    step.scores = scores.data();
    device_.each(n_scores, step);
    note_layer("scores", scores, {c_.n_heads, n_});
    device_.each(n_ * c_.n_heads, Softmax{scores.data(), n_, c_.n_heads, weights.data()});
    device_.each(n_ * c_.n_heads * width, WeighValues{weights.data(), values.data(), n_, c_.n_heads, step.n_kv, width,
                                                      value_first, step.key_stride, heads.data()});
    note_layer("heads", heads, {c_.n_heads, width});
    add_to_residual("attn_out", linear("attn_output", heads, c_.width));
  }

  void run_feed_forward() {
    const Floats x = block_norm(name("ffn_norm"), layer_name(int32_t(layer_), "ffn_in"));
    const bool has_experts = c_.has_experts(int32_t(layer_));
    const Floats y = has_experts ? experts(x) : feed_forward("", x, c_.feed_forward_width);
    add_to_residual("ffn_out", y);
  }

  // By the matrices "ffn_up" and so on, each with that ending.
  Floats feed_forward(const std::string& ending, const Floats& x, int64_t width) {
    Floats up = linear(("ffn_up" + ending).c_str(), x, width);
    const bool is_gated = c_.feed_forward == FeedForward::swiglu;
    const Floats gate = is_gated ? linear(("ffn_gate" + ending).c_str(), x, width) : Floats(size_t(0));
    device_.each(n_ * width, Activate{gate.data(), int(c_.feed_forward), up.data()});
    return linear(("ffn_down" + ending).c_str(), up, c_.width);
  }

  // Every expert for every token: those that are not chosen count nothing.
  Floats experts(const Floats& x) {
    const int64_t n_experts = c_.n_experts;
    Floats scores = linear("ffn_gate_inp", x, n_experts);
    Floats choice(size_t(n_ * n_experts)), weights(size_t(n_ * n_experts));
    device_.each(
        n_, ChooseExperts{weight(name("exp_probs_b.bias")), n_experts, c_.n_used_experts, c_.n_expert_groups,
                          c_.n_used_expert_groups, c_.expert_gating == ExpertGating::sigmoid, c_.expert_weights_norm,
                          c_.expert_weights_scale, scores.data(), choice.data(), weights.data()});
    note_layer("router", scores, {n_experts});
    note_layer("experts", weights, {n_experts});
    Floats y = c_.n_shared_experts > 0 ? feed_forward("_shexp", x, c_.shared_width())
                                       : Floats(std::vector<float>(size_t(n_ * c_.width)));
    for (int64_t e = 0; e < n_experts; ++e) {
      const Floats of_expert = expert(e, x);
      device_.each(n_ * c_.width, AddWeighed{weights.data(), n_experts, e, c_.width, of_expert.data(), y.data()});
    }
    return y;
  }

  Floats expert(int64_t e, const Floats& x) {
    const int64_t width = c_.expert_width;
    const auto product = [&](const char* tensor, const Floats& in, int64_t rows) {
      Floats out(size_t(n_ * rows));
      const int64_t cols = int64_t(in.size()) / n_;
      device_.matmul(weight(name(tensor)) + e * rows * cols, in.data(), n_, rows, cols, out.data());
      return out;
    };
    Floats up = product("ffn_up_exps.weight", x, width);
    const bool is_gated = c_.feed_forward == FeedForward::swiglu;
    const Floats gate = is_gated ? product("ffn_gate_exps.weight", x, width) : Floats(size_t(0));
    device_.each(n_ * width, Activate{gate.data(), int(c_.feed_forward), up.data()});
    return product("ffn_down_exps.weight", up, c_.width);
  }

  void add_to_residual(const char* traced_as, const Floats& y) {
    note_layer(traced_as, y, {c_.width});
    device_.each(n_ * c_.width, AddScaled{y.data(), c_.residual_scale, x_.data()});
  }

  const PlainModel& model_;
  const Config& c_;
  const int64_t n_;  // T
  Device device_;
  typename Device::template Block<int32_t> ids_;  // [T]
  Floats x_;                                      // [T, d]: the residual stream
  Floats cosine_{size_t(0)}, sine_{size_t(0)};    // [T, d_r / 2]
  std::map<std::string, Floats> weights_;
  ForwardTrace trace_;
  int64_t layer_ = 0;
};

}  // namespace pith::parity

#endif
