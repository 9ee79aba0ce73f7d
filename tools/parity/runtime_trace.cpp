#include "runtime_trace.h"

#include <string_view>

#include "attention/head_rows.h"
#include "plain_model.h"
#include "session/session.h"

namespace pith::parity {

using namespace internal;
namespace {

class Recorder {
 public:
  Recorder(const Model& model, pith_session_options options, const std::vector<int32_t>& tokens)
      : c_(model.get()->config), weights_(model.get()->weights), session_(model, with_room(options, tokens)) {
    trace_.tokens = tokens;
  }

  ForwardTrace run() {
    const TraceSink sink{[](void* self, const char* name, int32_t layer, int32_t token, const float* x, int32_t n) {
                           static_cast<Recorder*>(self)->take(name, layer, token, {x, size_t(n)});
                         },
                         [](void* self, int32_t layer, int32_t token, int32_t head, int32_t slot, float score) {
                           static_cast<Recorder*>(self)->take_score(layer, token, head, slot, score);
                         },
                         this};
    Trace trace;
    trace.set_sink(&sink);
    session_.get()->transformer.set_trace(trace);
    const size_t n_tokens = trace_.tokens.size(), chunk = size_t(session_.get()->plan.chunk);
    std::vector<float> logits(chunk * size_t(c_.vocab_size));
    for (first_ = 0; first_ < n_tokens; first_ += n_) {
      const size_t left = std::min(chunk, n_tokens - first_);
      n_ = size_t(session_.get()->transformer.cut(&trace_.tokens[first_], left, first_).n);
      c_scale_.assign(size_t(c_.n_layers) * n_, 0);
      key_shift_.assign(size_t(c_.n_layers) * n_ * size_t(c_.n_heads), 0);
      session_.eval_each(std::span(trace_.tokens).subspan(first_, n_),
                         std::span(logits).first(n_ * size_t(c_.vocab_size)));
      for (token_ = first_; token_ < first_ + n_; ++token_) {
        for (int32_t layer = 0; layer < c_.n_layers; ++layer) read_cache(layer);
        const float* of_token = logits.data() + (token_ - first_) * size_t(c_.vocab_size);
        put("logits", {c_.vocab_size}, [&](size_t i) { return of_token[i]; });
      }
    }
    session_.get()->transformer.set_trace({});
    return std::move(trace_);
  }

 private:
  static pith_session_options with_room(pith_session_options options, const std::vector<int32_t>& tokens) {
    options.capacity = uint32_t(std::max<size_t>(tokens.size(), 2));
    options.n_keep = 0;
    options.max_threads = 1;
    return options;
  }

  // Row token_ of a tensor, number by number.
  template <typename Number>
  void put(const std::string& name, const std::vector<int64_t>& shape, const Number& number) {
    TraceTensor& tensor = trace_.make(name, shape);
    const size_t width = tensor.row_width();
    for (size_t i = 0; i < width; ++i) tensor.x[token_ * width + i] = double(number(i));
  }

  const Layer& layer(int32_t n) const { return weights_.layers[n]; }
  bool is_normed() const { return c_.gate == Gate::up; }
  double gamma(int32_t n, size_t channel) const {
    return is_normed() && layer(n).gate_norm != nullptr ? double(layer(n).gate_norm[channel]) : 1;
  }
  double beta(int32_t n, size_t channel) const {
    return is_normed() && layer(n).gate_norm_bias != nullptr ? double(layer(n).gate_norm_bias[channel]) : 0;
  }
  // Of lane i of a head, in kv_b's order.
  size_t key_channel(size_t head, size_t i) const { return head * size_t(c_.kv_head_width()) + i; }
  size_t value_channel(size_t head, size_t i) const { return key_channel(head, size_t(c_.content_width) + i); }

  // Whether a gamma_k is 0.
  bool has_erased_lane(int32_t n) {
    if (is_erased_.empty()) {
      for (int32_t layer = 0; layer < c_.n_layers; ++layer) is_erased_.push_back(find_erased_lane(layer));
    }
    return is_erased_[size_t(n)];
  }

  bool find_erased_lane(int32_t n) const {
    for (size_t head = 0; head < size_t(c_.n_heads); ++head) {
      for (size_t i = 0; i < size_t(c_.content_width); ++i) {
        if (gamma(n, key_channel(head, i)) == 0) return true;
      }
    }
    return false;
  }

  void take(std::string_view name, int32_t n, int32_t token, std::span<const float> x) {
    token_ = first_ + size_t(token);
    if (name == "q") return take_query(n, x);
    if (name == "c_scale") return void(c_scale_[size_t(n) * n_ + size_t(token)] = x[0]);
    if (name == "kv") return take_keys_values(n, x);
    if (name == "heads") return take_heads(n, x);
    const std::string full = n < 0 ? std::string(name) : layer_name(n, std::string(name));
    put(full, {int64_t(x.size())}, [&](size_t i) { return x[i]; });
  }

  // q . beta_k s of a token's head.
  double& key_shift(int32_t n, size_t token, size_t head) {
    return key_shift_[(size_t(n) * n_ + (token - first_)) * size_t(c_.n_heads) + head];
  }

  void take_query(int32_t n, std::span<const float> x) {
    if (has_erased_lane(n)) return;
    const size_t width = size_t(c_.query_head_width()), content = size_t(c_.content_width);
    const double s = score_scale(c_), m = rope_magnitude(c_);
    put(layer_name(n, "q"), {c_.n_heads, int64_t(width)}, [&](size_t i) {
      const size_t head = i / width, lane = i % width;
      if (lane >= content) return double(x[i]) / (s * m);
      const size_t channel = key_channel(head, lane);
      const double query = double(x[i]) / gamma(n, channel);  // times s
      key_shift(n, token_, head) += query * beta(n, channel);
      return query / s;
    });
  }

  void take_keys_values(int32_t n, std::span<const float> x) {
    const auto unfolded = [&](size_t channel) { return double(x[channel]) * gamma(n, channel) + beta(n, channel); };
    const size_t d_n = size_t(c_.content_width), d_v = size_t(c_.value_width);
    put(layer_name(n, "k"), {c_.n_heads, int64_t(d_n)},
        [&](size_t i) { return unfolded(key_channel(i / d_n, i % d_n)); });
    put(layer_name(n, "v"), {c_.n_heads, int64_t(d_v)},
        [&](size_t i) { return unfolded(value_channel(i / d_v, i % d_v)); });
  }

  // Without a keep and with room for all, slots are positions; beyond them, tokens of the chunk.
  void take_score(int32_t n, int32_t token, int32_t head, int32_t slot, float score) {
    if (has_erased_lane(n)) return;
    const size_t n_tokens = trace_.tokens.size(), query = first_ + size_t(token);
    const int32_t staged = session_.get()->transformer.cache().ring().staged_index(slot);
    const size_t key = staged >= 0 ? first_ + size_t(staged) : size_t(slot);
    TraceTensor& scores = trace_.make(layer_name(n, "scores"), {c_.n_heads, int64_t(n_tokens)});
    scores.x[(query * size_t(c_.n_heads) + size_t(head)) * n_tokens + key] =
        double(score) + key_shift(n, query, size_t(head));
  }

  void take_heads(int32_t n, std::span<const float> x) {
    const size_t d_v = size_t(c_.value_width);
    put(layer_name(n, "heads"), {c_.n_heads, int64_t(d_v)}, [&](size_t i) {
      const size_t channel = value_channel(i / d_v, i % d_v);
      return double(x[i]) * gamma(n, channel) + beta(n, channel);
    });
  }

  // What the ring holds of the token. `head`: numbers that share a scale; `stride`: what they take in the ring.
  std::vector<double> stored(const uint8_t* row, size_t n, size_t head, size_t stride, const float* scales) const {
    std::vector<double> out(n);
    for (size_t i = 0; i < n; ++i) {
      const size_t at = i / head * stride + i % head;
      out[i] = scales == nullptr ? double(read_le<float>(row + sizeof(float) * at))
                                 : double(scales[i / head]) * double(int8_t(row[at]));
    }
    return out;
  }

  void read_cache(int32_t n) {
    const LatentRing& ring = session_.get()->transformer.cache().ring();
    const CacheShape& shape = ring.shape();
    const bool is_i8 = session_.get()->plan.cache == Precision::i8;
    const int32_t slot = ring.slot_of(token_);
    const uint8_t* first = ring.latents_of(n) + ring.latent_stride() * size_t(slot);
    const uint8_t* second = ring.ropes_of(n) + ring.rope_stride() * size_t(slot);
    std::vector<float> scales(size_t(shape.n_scalars()) + 1);
    ring.gather_scalars(n, &slot, 1, 0, shape.n_scalars(), scales.data(), shape.n_scalars() + 1);
    const double m = rope_magnitude(c_);
    const float* second_scales = is_i8 ? scales.data() + shape.rope_scale_at() : nullptr;
    if (c_.is_mha()) {
      const size_t head = size_t(c_.value_width), stride = is_i8 ? size_t(shape.stored_block) : head;
      const size_t width = size_t(c_.n_kv_heads) * head;
      const std::vector<double> k = stored(first, width, head, stride, is_i8 ? scales.data() : nullptr);
      const std::vector<double> v = stored(second, width, head, stride, second_scales);
      put(layer_name(n, "k"), {c_.n_kv_heads, c_.value_width}, [&](size_t i) { return k[i] * m; });
      put(layer_name(n, "v"), {c_.n_kv_heads, c_.value_width}, [&](size_t i) { return v[i]; });
      return;
    }
    if (is_i8 && shape.latent_block == 0) scales[0] = c_scale_[size_t(n) * n_ + (token_ - first_)];
    const size_t r = size_t(c_.latent_width), d_r = size_t(c_.rope_width);
    const size_t block = shape.latent_block == 0 ? r : size_t(shape.latent_block);
    const std::vector<double> rope = stored(second, d_r, d_r, d_r, second_scales);
    const std::vector<double> latent = stored(first, r, block, block, is_i8 ? scales.data() : nullptr);
    put(layer_name(n, "c"), {c_.latent_width}, [&](size_t i) { return latent[i]; });
    put(layer_name(n, "k_rope"), {c_.rope_width}, [&](size_t i) { return rope[i] * m; });
  }

  const Config& c_;
  const Weights& weights_;
  Session session_;
  ForwardTrace trace_;
  size_t first_ = 0, n_ = 0;       // the chunk that is being evaluated
  size_t token_ = 0;               // the one whose numbers come
  std::vector<bool> is_erased_;    // [n_layers]
  std::vector<double> key_shift_;  // [n_layers, n, n_h] q . beta_k s
  std::vector<float> c_scale_;     // [n_layers, n]
};

}  // namespace

ForwardTrace trace_runtime(const Model& model, pith_session_options options, const std::vector<int32_t>& tokens) {
  Recorder recorder(model, options, tokens);
  ForwardTrace trace = recorder.run();
  const auto precision = [](uint32_t p) { return p == PITH_PRECISION_F32 ? "f32" : "i8"; };
  trace.provenance = {{"writer", "runtime"},
                      {"activations", precision(options.activations)},
                      {"cache", precision(options.cache)},
                      {"attention", options.attention == PITH_ATTENTION_MATERIALISE ? "materialise" : "default"}};
  return trace;
}

}  // namespace pith::parity
