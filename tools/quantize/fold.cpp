#include "fold.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace pith::quantize {
namespace {

double score_scale(const Config& c) {
  const double log_factor = std::log(double(c.rope_factor));
  const double mscale = c.rope_scaling == RopeScaling::yarn ? 1 + double(c.yarn_log_multiplier) * log_factor : 1;
  return mscale * mscale / std::sqrt(double(c.query_head_width()));
}

double rope_magnitude_squared(const Config& c) {
  if (c.rope_scaling != RopeScaling::longrope) return 1;
  return 1 + std::log(double(c.rope_factor)) / std::log(double(c.rope_original_context));
}

// norm_g's vector in kv_b order, or `neutral` everywhere; [n_h (d_n + d_v)].
std::vector<float> norm_vector(const Config& c, const LayerTensors& tensors, const char* name, float neutral) {
  const auto found = tensors.find(name);
  if (c.gate == Gate::up && found != tensors.end()) return found->second;
  return std::vector<float>(size_t(c.kv_width()), neutral);
}

void fold_query(const Config& c, const std::vector<float>& gamma, LayerTensors* tensors) {
  const std::string name = !c.is_mha() && c.query_latent_width > 0 ? "attn_q_b" : "attn_q";
  std::vector<float>& w = tensors->at(name + ".weight");
  const size_t cols = w.size() / size_t(c.query_width());
  const auto bias = tensors->find(name + ".bias");
  for (int32_t row = 0; row < c.query_width(); ++row) {
    const int32_t head = row / c.query_head_width(), lane = row % c.query_head_width();
    const bool is_content = lane < c.content_width;
    const double factor = score_scale(c) * (is_content ? double(gamma[size_t(head * c.kv_head_width() + lane)])
                                                       : rope_magnitude_squared(c));
    for (size_t i = 0; i < cols; ++i) w[size_t(row) * cols + i] = float(double(w[size_t(row) * cols + i]) * factor);
    if (bias != tensors->end()) bias->second[size_t(row)] = float(double(bias->second[size_t(row)]) * factor);
  }
}

void fold_output(const Config& c, const std::vector<float>& gamma, const std::vector<float>& beta,
                 LayerTensors* tensors) {
  std::vector<float>& w = tensors->at("attn_output.weight");  // [d, n_h d_v]
  const size_t cols = size_t(c.head_output_width());
  const bool shifts = std::any_of(beta.begin(), beta.end(), [](float b) { return b != 0; });
  std::vector<float>* bias = nullptr;
  if (shifts) {
    bias = &(*tensors)["attn_output.bias"];
    bias->resize(size_t(c.width));
  }
  for (size_t row = 0; row < size_t(c.width); ++row) {
    double shift = 0;
    for (size_t i = 0; i < cols; ++i) {
      const size_t head = i / size_t(c.value_width), lane = i % size_t(c.value_width);
      const size_t channel = head * size_t(c.kv_head_width()) + size_t(c.content_width) + lane;
      float& weight = w[row * cols + i];
      shift += double(weight) * double(beta[channel]);
      weight = float(double(weight) * double(gamma[channel]));
    }
    if (bias != nullptr) (*bias)[row] = float(double((*bias)[row]) + shift);
  }
}

// What YaRN multiplies the frequency of every pair by; [d_r / 2].
std::vector<double> yarn_factors(const Config& c) {
  if (c.rope_base == 1) throw std::runtime_error("key egmla.rope.freq_base: YaRN needs a base above 1");
  const double d_r = c.rope_width, log_base = std::log(double(c.rope_base));
  const auto dim = [&](double turns) {
    return d_r * std::log(c.rope_original_context / (2 * std::numbers::pi * turns)) / (2 * log_base);
  };
  const double low = std::max(std::floor(dim(double(c.yarn_beta_fast))), 0.0);
  double high = std::min(std::ceil(dim(double(c.yarn_beta_slow))), d_r - 1);
  if (low == high) high += 0.001;
  std::vector<double> factors;
  for (int32_t i = 0; i < c.rope_width / 2; ++i) {
    const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
    factors.push_back((1 - ramp) + ramp / double(c.rope_factor));
  }
  return factors;
}

float checked_divisor(const std::vector<float>& divisors, size_t i) {
  if (divisors[i] > 0) return divisors[i];
  throw std::runtime_error("tensor rope_factors: element " + std::to_string(i) + " is not positive");
}

}  // namespace

void fold_layer(const Config& config, LayerTensors* tensors) {
  const std::vector<float> gamma = norm_vector(config, *tensors, "attn_gate_norm.weight", 1);
  const std::vector<float> beta = norm_vector(config, *tensors, "attn_gate_norm.bias", 0);
  fold_query(config, gamma, tensors);
  if (config.gate == Gate::up) fold_output(config, gamma, beta, tensors);
}

std::vector<uint64_t> rope_turns(const Config& c, const std::vector<float>& divisors) {
  const int32_t n_pairs = c.rope_width / 2;
  const std::vector<double> factors =
      c.rope_scaling == RopeScaling::yarn ? yarn_factors(c) : std::vector<double>(size_t(n_pairs), 1.0);
  std::vector<uint64_t> turns;
  for (int32_t i = 0; i < n_pairs; ++i) {
    long double f = std::pow(static_cast<long double>(c.rope_base), -2.0L * i / c.rope_width);
    f = f / (2 * std::numbers::pi_v<long double>)*static_cast<long double>(factors[size_t(i)]);
    if (!divisors.empty()) f /= static_cast<long double>(checked_divisor(divisors, size_t(i)));
    const long double fixed = std::round((f - std::floor(f)) * 0x1p64L);
    turns.push_back(fixed >= 0x1p64L ? 0 : uint64_t(fixed));
  }
  return turns;
}

}  // namespace pith::quantize
