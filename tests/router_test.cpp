// The choice of experts: against sorting in float64, ties, numbers that are not finite, the same bits on every tier.
#include "layers/router.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "dispatch.h"

using namespace pith::internal;

namespace {

struct Choice {
  std::vector<int32_t> experts;
  std::vector<float> weights, scores;
};

Choice chosen(const Kernels& kernels, const Config& c, std::vector<float> logits,
              const std::vector<float>& correction) {
  Choice out{std::vector<int32_t>(size_t(c.n_used_experts), -1), std::vector<float>(size_t(c.n_used_experts)), {}};
  choose_experts(kernels, c, correction.empty() ? nullptr : correction.data(), logits.data(),
                 {out.experts.data(), out.weights.data()});
  out.scores = std::move(logits);
  return out;
}

// Numbers, best first; of equal ones the lowest first. *margin becomes the distance of the last that is kept to the next, where
// that is less.
std::vector<size_t> ranking(const std::vector<double>& x, size_t n_kept, double* margin) {
  std::vector<size_t> order(x.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return x[a] > x[b]; });
  if (n_kept < order.size()) *margin = std::min(*margin, x[order[n_kept - 1]] - x[order[n_kept]]);
  order.resize(n_kept);
  return order;
}

struct Reference {
  std::vector<int32_t> experts;
  std::vector<double> weights;
  double margin = 1;
};

Reference reference(const Config& c, const std::vector<float>& logits, const std::vector<float>& correction) {
  const size_t n = logits.size(), n_groups = size_t(c.n_expert_groups), size = n / n_groups;
  const bool is_sigmoid = c.expert_gating == ExpertGating::sigmoid;
  const double top = double(*std::max_element(logits.begin(), logits.end()));
  std::vector<double> scores(n), ranked(n), groups, allowed(n, -1e300);
  double total = 0;
  for (const float x : logits) total += std::exp(double(x) - top);
  for (size_t i = 0; i < n; ++i) {
    scores[i] = is_sigmoid ? 1 / (1 + std::exp(-double(logits[i]))) : std::exp(double(logits[i]) - top) / total;
    ranked[i] = scores[i] + (correction.empty() ? 0 : double(correction[i]));
  }
  for (size_t g = 0; g < n_groups; ++g) {
    std::vector<double> members(ranked.begin() + int64_t(g * size), ranked.begin() + int64_t((g + 1) * size));
    std::sort(members.rbegin(), members.rend());
    groups.push_back(members[0] + (is_sigmoid && size > 1 ? members[1] : 0));
  }
  Reference out;
  for (const size_t g : ranking(groups, size_t(c.n_used_expert_groups), &out.margin))
    std::copy_n(ranked.begin() + int64_t(g * size), size, allowed.begin() + int64_t(g * size));
  double sum = 0;
  for (const size_t e : ranking(allowed, size_t(c.n_used_experts), &out.margin)) out.experts.push_back(int32_t(e));
  std::sort(out.experts.begin(), out.experts.end());
  for (const int32_t e : out.experts) sum += scores[size_t(e)];
  for (const int32_t e : out.experts)
    out.weights.push_back(scores[size_t(e)] / (c.expert_weights_norm ? sum : 1) * double(c.expert_weights_scale));
  return out;
}

Config random_config(std::mt19937_64* random) {
  Config c;
  const int32_t shapes[][2] = {{1, 1},  {2, 1},  {8, 1},   {8, 4},   {8, 8},
                               {60, 1}, {64, 8}, {160, 8}, {256, 8}, {1024, 16}};
  const auto& shape = shapes[(*random)() % std::size(shapes)];
  c.n_experts = shape[0];
  c.n_expert_groups = shape[1];
  c.n_used_expert_groups = 1 + int32_t((*random)() % uint64_t(c.n_expert_groups));
  const int32_t most = std::min(c.n_used_expert_groups * c.group_experts(), kMaxUsedExperts);
  c.n_used_experts = 1 + int32_t((*random)() % uint64_t(most));
  c.expert_gating = (*random)() % 2 == 0 ? ExpertGating::softmax : ExpertGating::sigmoid;
  c.expert_weights_norm = (*random)() % 2 == 0;
  c.expert_weights_scale = (*random)() % 2 == 0 ? 1.0f : 2.5f;
  return c;
}

std::vector<float> normals(int32_t n, float spread, std::mt19937_64* random) {
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> out;
  for (int32_t i = 0; i < n; ++i) out.push_back(normal(*random));
  return out;
}

void check_weights(const Choice& found, const Reference& wanted) {
  for (size_t i = 0; i < wanted.weights.size(); ++i)
    CHECK(double(found.weights[i]) == doctest::Approx(wanted.weights[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("experts and weights are those of float64, wherever scores differ by more than rounding") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Kernels& kernels = *choose_tier(nullptr);
  size_t n_sure = 0;
  for (int i = 0; i < 3000; ++i) {
    const Config c = random_config(&random);
    const std::vector<float> logits = normals(c.n_experts, 2, &random);
    const std::vector<float> correction = i % 2 == 0 ? std::vector<float>() : normals(c.n_experts, 0.3f, &random);
    const Reference wanted = reference(c, logits, correction);
    if (wanted.margin < 1e-6) continue;
    ++n_sure;
    const Choice found = chosen(kernels, c, logits, correction);
    REQUIRE(found.experts == wanted.experts);
    check_weights(found, wanted);
  }
  CHECK(n_sure > 2000);
}

TEST_CASE("of experts and groups with equal scores, those with the lowest numbers are chosen") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Kernels& kernels = *choose_tier(nullptr);
  for (int i = 0; i < 2000; ++i) {
    const Config c = random_config(&random);
    std::vector<float> logits;
    for (int32_t e = 0; e < c.n_experts; ++e) logits.push_back(float(random() % 3));
    const Reference wanted = reference(c, logits, {});
    const Choice found = chosen(kernels, c, logits, {});
    REQUIRE(found.experts == wanted.experts);
    check_weights(found, wanted);
  }
  Config c;
  c.n_experts = 8;
  c.n_used_experts = 3;
  CHECK(chosen(kernels, c, std::vector<float>(8, 1.5f), {}).experts == std::vector<int32_t>{0, 1, 2});
}

TEST_CASE("logits that are infinite or not numbers still choose experts that there are, each once") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(),
                       3e38f,
                       -3e38f,
                       0};
  size_t n_shown = 0;
  for (int i = 0; i < 1000; ++i) {
    const Config c = random_config(&random);
    std::vector<float> logits = normals(c.n_experts, 2, &random), correction = normals(c.n_experts, 1, &random);
    const size_t share = 1 + random() % 3;
    for (float& x : logits) x = random() % share == 0 ? odd[random() % std::size(odd)] : x;
    for (float& x : correction) x = random() % 4 == 0 ? odd[random() % std::size(odd)] : x;
    const Choice found = chosen(*choose_tier(nullptr), c, logits, correction);
    bool shows = false;
    for (size_t k = 0; k < found.experts.size(); ++k) {
      shows = shows || !std::isfinite(found.weights[k]);
      CHECK(found.experts[k] >= (k == 0 ? 0 : found.experts[k - 1] + 1));
      CHECK(found.experts[k] < c.n_experts);
    }
    const auto is_nan = [](float x) { return std::isnan(x); };
    const bool has_nan =
        std::any_of(logits.begin(), logits.end(), is_nan) || std::any_of(correction.begin(), correction.end(), is_nan);
    if (has_nan && c.n_used_experts == 1) CHECK(shows);
    n_shown += shows;
  }
  CHECK(n_shown > 500);
}

TEST_CASE("choices, weights and scores have the same bits on every tier") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 300; ++i) {
    const Config c = random_config(&random);
    const std::vector<float> logits = normals(c.n_experts, 3, &random),
                             correction = normals(c.n_experts, 0.1f, &random);
    const Choice first = chosen(*choose_tier("scalar"), c, logits, correction);
    for (size_t t = 0; t < tier_count(); ++t) {
      if (!tier_at(t).usable) continue;
      const Choice other = chosen(*tier_at(t).kernels, c, logits, correction);
      CHECK(other.experts == first.experts);
      CHECK(other.weights == first.weights);
      CHECK(other.scores == first.scores);
    }
  }
}
