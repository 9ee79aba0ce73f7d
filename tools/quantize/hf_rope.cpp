#include "hf_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/core.h>

namespace pith::quantize {
namespace {

// rope_scaling is the older name; a file that has both, for readers of either kind, says the same twice.
HfKeys find_parameters(HfKeys* from) {
  const json::Document *older = from->find("rope_scaling"), *newer = from->find("rope_parameters");
  if (older != nullptr && newer != nullptr && !(*older == *newer))
    from->refuse("rope_scaling", "differs from rope_parameters");
  if (newer != nullptr) return HfKeys(*newer, "rope_parameters.");
  return older != nullptr ? HfKeys(*older, "rope_scaling.") : HfKeys();
}

// What YaRN multiplies by: 1 + 0.1 mscale ln(factor).
double yarn_magnitude(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1; }

}  // namespace

HfRope::HfRope(HfKeys* from, AttentionKind attention, float default_base, json::Document* keys)
    : parameters_(find_parameters(from)) {
  const double base = from->number("rope_theta", double(default_base));
  (*keys)["rope.freq_base"] = parameters_.number("rope_theta", base);
  const double share = parameters_.number("partial_rotary_factor", from->number("partial_rotary_factor", 1.0));
  if (share != 1) parameters_.refuse("partial_rotary_factor", "heads that rotate in part are not supported");

  const std::string older = parameters_.string("type", "default");
  type_ = parameters_.string("rope_type", older);
  // A model whose context was extended may say the original one outside of the parameters.
  const double context = from->number("max_position_embeddings");
  const double original = parameters_.number("original_max_position_embeddings", context);
  original_context_ = from->number("original_max_position_embeddings", original);
  if (type_ == "yarn" || type_ == "longrope") {
    // Where the factor is not said, it is the ratio of the contexts.
    factor_ = parameters_.number("factor", std::max(context / original_context_, 1.0));
    (*keys)["rope.scaling.type"] = type_;
    (*keys)["rope.scaling.original_context_length"] = uint64_t(std::clamp(original_context_, 0.0, 0x1p53));
    if (type_ == "yarn") read_yarn(attention, keys);
    else read_longrope(keys);
  } else if (type_ == "llama3") {
    factor_ = parameters_.number("factor");
    low_turns_ = parameters_.number("low_freq_factor");
    high_turns_ = parameters_.number("high_freq_factor");
    if (!(low_turns_ > 0 && high_turns_ > low_turns_))
      parameters_.refuse("high_freq_factor", "is not above low_freq_factor, which is above 0");
    if (!(original_context_ >= 1)) parameters_.refuse("original_max_position_embeddings", "is not above 0");
  } else if (type_ == "linear") {
    factor_ = parameters_.number("factor");
  } else if (type_ != "default") {
    parameters_.refuse(
        "rope_type",
        fmt::format("{} is not supported; pith knows default, linear, llama3, longrope, yarn", json::quoted(type_)));
  } else if (parameters_.number("factor", 1.0) != 1) {
    parameters_.refuse("factor", "is there without a rope_type that uses it");
  }
  if (!(factor_ > 0 && std::isfinite(float(factor_)) && float(factor_) > 0))
    parameters_.refuse("factor", "is not a number above 0");
  for (const json::Document::Member* member : parameters_.unread())
    parameters_.refuse(member->first, fmt::format("is not a key of rope_type {}", type_));
}

// transformers multiplies cosine and sine by attention_factor, the rotated part of the scores by its square. Where all of a
// head rotates, that is pith's yarn_log_multiplier. In latent attention it is 1: mscale is mscale_all_dim, which makes the
// scale of all scores.
void HfRope::read_yarn(AttentionKind attention, json::Document* keys) {
  if (!parameters_.boolean("truncate", true)) parameters_.refuse("truncate", "false is not supported");
  const double mscale = parameters_.number("mscale", 0.0), all = parameters_.number("mscale_all_dim", 0.0);
  const double both = yarn_magnitude(factor_, mscale) / yarn_magnitude(factor_, all);
  const double computed = mscale != 0 && all != 0 ? both : yarn_magnitude(factor_, 1);
  const double magnitude = parameters_.number("attention_factor", computed);
  double multiplier = 0.1 * all;
  if (attention == AttentionKind::mha) {
    multiplier = magnitude == 1 ? 0 : (magnitude - 1) / std::log(factor_);  // mscale_all_dim itself has no use there
  } else if (std::abs(magnitude - 1) > 1e-6) {
    parameters_.refuse("mscale",
                       fmt::format("cosine and sine would be multiplied by {}, which latent attention with YaRN "
                                   "has not in pith; mscale and mscale_all_dim must be equal",
                                   magnitude));
  }
  (*keys)["rope.scaling.factor"] = factor_;
  (*keys)["rope.scaling.yarn_log_multiplier"] = multiplier;
  // 0 stands for the default, as there.
  const double fast = parameters_.number("beta_fast", 0.0), slow = parameters_.number("beta_slow", 0.0);
  (*keys)["rope.scaling.yarn_beta_fast"] = fast == 0 ? 32 : fast;
  (*keys)["rope.scaling.yarn_beta_slow"] = slow == 0 ? 1 : slow;
}

// In pith the factor of LongRoPE makes the magnitude alone, sqrt(1 + ln(factor) / ln(original context)): a file that says
// another magnitude gets the factor that makes it.
void HfRope::read_longrope(json::Document* keys) {
  short_ = parameters_.numbers("short_factor");
  long_ = parameters_.numbers("long_factor");
  double factor = std::max(factor_, 1.0);
  const double magnitude = parameters_.number("attention_factor", 0.0);
  if (magnitude != 0) factor = std::exp((magnitude * magnitude - 1) * std::log(original_context_));
  (*keys)["rope.scaling.factor"] = factor;
}

double HfRope::llama3_divisor(double frequency) const {
  const double turns = original_context_ * frequency / (2 * std::numbers::pi);
  if (turns > high_turns_) return 1;
  if (turns < low_turns_) return factor_;
  const double t = (turns - low_turns_) / (high_turns_ - low_turns_);
  return 1 / ((1 - t) / factor_ + t);
}

std::vector<float> HfRope::divisors(const Config& config) const {
  const size_t n_pairs = size_t(config.rope_width / 2);
  if (type_ == "linear") return std::vector<float>(n_pairs, float(factor_));
  std::vector<float> out;
  if (type_ == "llama3") {
    for (size_t i = 0; i < n_pairs; ++i) {
      const double frequency = std::pow(double(config.rope_base), -2.0 * double(i) / config.rope_width);
      out.push_back(float(llama3_divisor(frequency)));
    }
  }
  if (type_ != "longrope") return out;
  const bool is_long = config.context_length > config.rope_original_context;
  const char* name = is_long ? "long_factor" : "short_factor";
  for (const double divisor : is_long ? long_ : short_) {
    out.push_back(float(divisor));
    if (!(out.back() > 0 && std::isfinite(out.back()))) parameters_.refuse(name, "a number is not above 0");
  }
  if (out.size() != n_pairs) parameters_.refuse(name, fmt::format("{} numbers for {} pairs", out.size(), n_pairs));
  return out;
}

}  // namespace pith::quantize
