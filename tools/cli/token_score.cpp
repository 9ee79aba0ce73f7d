#include "token_score.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/core.h>

#include "descriptors.h"
#include "session/log_probability.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

// log softmax in double. [V]
std::vector<double> log_probabilities(std::span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  const double shift = double(largest) + internal::log_sum_exp(logits.data(), int32_t(logits.size()), largest);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float x : logits) out.push_back(double(x) - shift);
  return out;
}

size_t likeliest(std::span<const double> p) { return size_t(std::max_element(p.begin(), p.end()) - p.begin()); }

}  // namespace

void TokenScore::add(int32_t token, std::span<const float> logits, std::span<const float> base) {
  const std::vector<double> p = log_probabilities(logits);
  nats_ -= p[size_t(token)];
  ++tokens_;
  if (base.empty()) return;
  const std::vector<double> q = log_probabilities(base);
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += std::exp(q[i]) * (q[i] - p[i]);
  kl_sum_ += kl;
  kl_max_ = std::max(kl_max_, kl);
  top1_ += likeliest(q) == likeliest(p);
}

void TokenScore::put_distance(json::Document* out) const {
  (*out)["kl_mean"] = kl_sum_ / double(tokens_);
  (*out)["kl_max"] = kl_max_;
  (*out)["top1_agreement"] = double(top1_) / double(tokens_);
}

void show_scored(size_t done, size_t total) {
  if (!internal::is_terminal(internal::kStandardError) || done % 64 != 0) return;
  tell("\r{} of {} tokens", done, total);
}

}  // namespace pith::cli
