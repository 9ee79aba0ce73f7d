#include "fold.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <utility>

#include "wide_double.h"

namespace pith::quantize {
namespace {

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

double score_scale(const Config& c) {
  const double log_factor = std::log(double(c.rope_factor));
  const double mscale = c.rope_scaling == RopeScaling::yarn ? 1 + double(c.yarn_log_multiplier) * log_factor : 1;
  return mscale * mscale / std::sqrt(double(c.query_head_width()));
}

double rope_magnitude_squared(const Config& c) {
  if (c.rope_scaling != RopeScaling::longrope) return 1;
  return 1 + std::log(double(c.rope_factor)) / std::log(double(c.rope_original_context));
}

LayerFold::LayerFold(const Config& config, std::vector<float> gamma, std::vector<float> beta)
    : config_(config), gamma_(std::move(gamma)), beta_(std::move(beta)) {}

void LayerFold::apply(std::string_view tensor, int64_t first, std::span<float> rows) const {
  const Config& c = config_;
  const bool is_low_rank = !c.is_mha() && c.query_latent_width > 0;
  const std::string_view query = is_low_rank ? "attn_q_b" : "attn_q";
  if (c.head_norm == HeadNorm::rms) {
    if (tensor != "attn_q_norm.weight") return;
    const double factor = score_scale(c) * rope_magnitude_squared(c) / double(c.rope_query_scale);
    for (float& x : rows) x = float(double(x) * factor);
  } else if (tensor.starts_with(query) && tensor.substr(query.size()) == ".weight") {
    scale_query(first, size_t(is_low_rank ? c.query_latent_width : c.width), rows);
  } else if (tensor.starts_with(query) && tensor.substr(query.size()) == ".bias") {
    scale_query(first, 1, rows);
  } else if (tensor == "attn_output.weight" && !gamma_.empty()) {
    scale_output(rows);
  }
}

void LayerFold::scale_query(int64_t first, size_t cols, std::span<float> rows) const {
  const Config& c = config_;
  const double content = score_scale(c) / double(c.content_query_scale);
  const double rope = score_scale(c) / double(c.rope_query_scale) * rope_magnitude_squared(c);
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t row = first + int64_t(i / cols), head = row / c.query_head_width(), lane = row % c.query_head_width();
    double factor = lane < c.content_width ? content : rope;
    if (lane < c.content_width && !gamma_.empty()) factor *= double(gamma_[size_t(head * c.kv_head_width() + lane)]);
    rows[i] = float(double(rows[i]) * factor);
  }
}

size_t LayerFold::value_channel(size_t column) const {
  const size_t head = column / size_t(config_.value_width), lane = column % size_t(config_.value_width);
  return head * size_t(config_.kv_head_width()) + size_t(config_.content_width) + lane;
}

void LayerFold::scale_output(std::span<float> rows) const {
  const size_t cols = size_t(config_.head_output_width());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = float(double(rows[i]) * double(gamma_[value_channel(i % cols)]));
}

bool LayerFold::shifts() const {
  return std::any_of(beta_.begin(), beta_.end(), [](float b) { return b != 0; });
}

double LayerFold::shift(std::span<const float> row) const {
  double total = 0;
  for (size_t i = 0; i < row.size(); ++i) total += double(row[i]) * double(beta_[value_channel(i)]);
  return total;
}

std::vector<uint64_t> rope_turns(const Config& c, const std::vector<float>& divisors) {
  const int32_t n_pairs = c.rope_width / 2;
  const std::vector<double> factors =
      c.rope_scaling == RopeScaling::yarn ? yarn_factors(c) : std::vector<double>(size_t(n_pairs), 1.0);
  if (n_pairs == 0) return {};
  const WideDouble step = reciprocal_root(double(c.rope_base), n_pairs);
  WideDouble turn = {0x1.45f306dc9c883p-3, -0x1.6b01ec5417056p-57};  // 1 / (2 pi)
  std::vector<uint64_t> turns;
  for (int32_t i = 0; i < n_pairs; ++i, turn = turn * step) {
    WideDouble f = turn * WideDouble{factors[size_t(i)]};
    if (!divisors.empty()) f = f / WideDouble{double(checked_divisor(divisors, size_t(i)))};
    turns.push_back(fixed_fraction(f));
  }
  return turns;
}

}  // namespace pith::quantize
