#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "runtime.h"

using namespace pith;

namespace {

pith_sampler_options plain() {
  pith_sampler_options o = sampler_options();
  o.temperature = 1;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  return o;
}

// The probabilities that remain, by a slow reading of the header: filters in its order, in double.
std::vector<double> expected_probabilities(const std::vector<float>& logits, const pith_sampler_options& o) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  if (o.top_k > 0 && o.top_k < order.size()) order.resize(o.top_k);
  std::vector<double> p(logits.size(), 0.0);
  double total = 0;
  for (const size_t i : order) total += p[i] = std::exp((double(logits[i]) - double(logits[order[0]])) / double(o.temperature));
  double sum = 0;
  const double least = double(o.min_p) * p[order[0]];
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const size_t i = order[rank];
    const bool is_cut = rank > 0 && (sum >= double(o.top_p) * total * (1 - 1e-12) || p[i] < least);
    sum += p[i];
    if (is_cut) p[i] = 0;
  }
  total = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= total;
  return p;
}

}  // namespace

TEST_CASE("greedy takes the largest logit, and the lowest id among equals") {
  pith_sampler_options o = plain();
  o.temperature = 0;
  Sampler sampler(5, o);
  const std::vector<float> logits = {1, 3, -2, 3, 0}, equal(5, 0.5f);
  CHECK(sampler.draw(logits) == 1);
  CHECK(sampler.draw(equal) == 0);
}

TEST_CASE("draws follow the filtered probabilities") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int variant = 0; variant < 6; ++variant) {
    CAPTURE(variant);
    std::vector<float> logits(12);
    for (float& x : logits) x = 2 * std::normal_distribution<float>()(random);
    pith_sampler_options o = plain();
    o.seed = random();
    if (variant == 1) o.temperature = 0.5f;
    if (variant == 2) o.top_k = 4;
    if (variant == 3) o.top_p = 0.7f;
    if (variant == 4) o.min_p = 0.2f;
    if (variant == 5) o = sampler_options(), o.top_k = 6;
    o.seed = random();
    const std::vector<double> p = expected_probabilities(logits, o);
    Sampler sampler(12, o);
    constexpr int kDraws = 20000;
    std::vector<int> counts(12);
    for (int i = 0; i < kDraws; ++i) ++counts[size_t(sampler.draw(logits))];
    double chi2 = 0;
    for (size_t i = 0; i < 12; ++i) {
      if (p[i] == 0) CHECK(counts[i] == 0);
      else chi2 += (counts[i] - kDraws * p[i]) * (counts[i] - kDraws * p[i]) / (kDraws * p[i]);
    }
    CHECK(chi2 < 52);  // 11 degrees of freedom: exceeded by chance once in 3 million
  }
}

TEST_CASE("a seed is a story") {
  const auto story = [](uint64_t seed) {
    pith_sampler_options o = plain();
    o.seed = seed;
    Sampler sampler(50, o);
    std::vector<int32_t> out;
    const std::vector<float> flat(50, 1.0f);
    for (int i = 0; i < 100; ++i) out.push_back(sampler.draw(flat));
    return out;
  };
  CHECK(story(1) == story(1));
  CHECK(story(1) != story(2));
  // The same on every machine: the first draws of seed 1.
  const std::vector<int32_t> first = story(1);
  CHECK(std::set<int32_t>(first.begin(), first.end()).size() > 30);
}

TEST_CASE("the repetition penalty sees each recent token once, within its window") {
  pith_sampler_options o = plain();
  o.temperature = 0;
  o.repeat_penalty = 2;
  o.repeat_window = 2;
  Sampler sampler(4, o);
  const std::vector<float> logits = {4, 3, -1, 1.9f};
  CHECK(sampler.draw(logits) == 0);  // 4
  CHECK(sampler.draw(logits) == 1);  // 2 against 3
  CHECK(sampler.draw(logits) == 0);  // 2 against 1.5 and 1.9
  sampler.accept(0);
  sampler.accept(0);
  CHECK(sampler.draw(logits) == 1);  // twice in the window, halved once: 2 against 3
  const std::vector<float> negative = {-1, -1.5f, -9, -9};
  Sampler other(4, o);
  CHECK(other.draw(negative) == 0);
  CHECK(other.draw(negative) == 1);  // -2 against -1.5
}

TEST_CASE("logits that are no numbers") {
  Sampler sampler(3, plain());
  const auto status = [](const std::vector<float>& logits) {
    pith_sampler_options o = plain();
    size_t bytes = 0;
    REQUIRE(int(pith_sampler_bytes(&o, 3, &bytes, nullptr)) == int(PITH_OK));
    const Memory memory(bytes);
    pith_sampler* raw = nullptr;
    REQUIRE(int(pith_sampler_init(&o, 3, memory.data(), bytes, &raw, nullptr)) == int(PITH_OK));
    int32_t token = -1;
    return int(pith_sampler_draw(raw, logits.data(), &token));
  };
  const float nan = std::nanf(""), inf = INFINITY;
  CHECK(status({0, nan, 0}) == int(PITH_E_NUMERIC));
  CHECK(status({-inf, -inf, -inf}) == int(PITH_E_NUMERIC));
  CHECK(status({inf, 0, 0}) == int(PITH_E_NUMERIC));
  CHECK(status({-inf, 0, -inf}) == int(PITH_OK));
  const std::vector<float> one = {-inf, 0, -inf};
  for (int i = 0; i < 50; ++i) CHECK(sampler.draw(one) == 1);
}

TEST_CASE("sampler options out of range are refused by name") {
  const auto refused = [](auto change, const char* name) {
    pith_sampler_options o = sampler_options();
    change(o);
    size_t bytes = 0;
    pith_error error{};
    const bool is_refused = pith_sampler_bytes(&o, 10, &bytes, &error) == PITH_E_ARGUMENT;
    return is_refused && std::string(error.message).find(name) != std::string::npos;
  };
  using Options = pith_sampler_options;
  CHECK(refused([](Options& o) { o.temperature = -1; }, "temperature"));
  CHECK(refused([](Options& o) { o.temperature = std::nanf(""); }, "temperature"));
  CHECK(refused([](Options& o) { o.top_p = 0; }, "top_p"));
  CHECK(refused([](Options& o) { o.top_p = 1.5f; }, "top_p"));
  CHECK(refused([](Options& o) { o.min_p = 1; }, "min_p"));
  CHECK(refused([](Options& o) { o.repeat_penalty = 0; }, "repeat_penalty"));
  CHECK(refused([](Options& o) { o.repeat_window = 65537; }, "repeat_window"));
  CHECK(!refused([](Options&) {}, ""));
}
