// Log-probabilities against log softmax in long double by libm and a stable sort, and the bits that every machine must give.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "pith/pith.hpp"
#include "session/exponential.h"

using namespace pith;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

// Probabilities first, then their logarithms: pairs of (token, log-probability), the likeliest first.
std::vector<std::pair<int32_t, long double>> reference(const std::vector<float>& logits) {
  const long double largest = *std::max_element(logits.begin(), logits.end());
  long double total = 0;
  for (const float x : logits) total += expl((long double)x - largest);
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[size_t(a)] > logits[size_t(b)]; });
  std::vector<std::pair<int32_t, long double>> out;
  for (const int32_t id : order) out.push_back({id, (long double)logits[size_t(id)] - largest - logl(total)});
  return out;
}

// A float's rounding, and 1e-15 for each of the exponentials and the logarithm.
bool is_near(float found, long double expected) {
  if (expected < -kMax) return found == -kInf;
  return std::fabs(found - expected) <= 6e-8L * std::fabs(expected) + 1e-14L;
}

std::vector<float> random_logits(size_t n, float spread, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> out(n);
  for (float& x : out) x = normal(random);
  return out;
}

void check_against_reference(const std::vector<float>& logits) {
  const auto expected = reference(logits);
  for (const size_t k : {size_t(0), size_t(1), std::min<size_t>(logits.size(), 7), logits.size()}) {
    const int32_t token = expected[expected.size() / 2].first;
    const Logprobs found = logprobs(logits, token, uint32_t(k));
    REQUIRE(found.top.size() == k);
    CHECK(is_near(found.logprob, expected[expected.size() / 2].second));
    for (size_t i = 0; i < k; ++i) {
      REQUIRE(found.top[i].token == expected[i].first);
      REQUIRE(is_near(found.top[i].logprob, expected[i].second));
    }
  }
}

}  // namespace

TEST_CASE("log-probabilities are those of a log softmax, and the likeliest come first") {
  for (const size_t n : {1, 2, 3, 257, 5000})
    for (const float spread : {0.0f, 1e-3f, 1.0f, 10.0f, 1e3f, 1e30f})
      check_against_reference(random_logits(n, spread, uint32_t(n)));
  SUBCASE("of equal logits the lowest id first") {
    std::vector<float> few_values = random_logits(1000, 1, 1);
    for (float& x : few_values) x = std::round(x);
    check_against_reference(few_values);
    check_against_reference({-0.0f, 0.0f, -0.0f, 0.0f});
  }
  SUBCASE("at the ends of float") {
    check_against_reference({kMax, -kMax, 0, kMax});
    check_against_reference({-kMax, -kMax});
    check_against_reference({1e-45f, 0, -1e-45f});
    check_against_reference({-kInf, 3, -kInf, 2, -kInf});  // the lowest of those of no probability first, too
  }
  SUBCASE("of all of a vocabulary they add up to 1") {
    const std::vector<float> logits = random_logits(50000, 4, 3);
    long double total = 0;
    for (const pith_logprob& p : logprobs(logits, 0, 50000).top) total += expl(p.logprob);
    CHECK(std::fabs(total - 1) < 1e-6);
  }
  SUBCASE("of the only token it is 0") { CHECK(logprobs(std::vector<float>{-7}, 0, 1).top[0].logprob == 0); }
}

TEST_CASE("log-probabilities: exponential and logarithm to 1e-15") {
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> power(0, 24 * std::log(2.0)), gap(-700, 0);
  const auto is_close = [](double found, long double expected) {
    return std::fabs(found - expected) <= 1e-15L * std::max(1.0L, std::fabs(expected));
  };
  for (int i = 0; i < 100000; ++i) {
    const double x = std::exp(power(random)), near_one = 1 + std::ldexp(x, -i % 60), g = gap(random);
    REQUIRE(is_close(internal::ln_above_one(x), logl((long double)x)));
    REQUIRE(is_close(internal::ln_above_one(near_one), logl((long double)near_one)));
    REQUIRE(std::fabs(internal::exp_negative(g) / expl((long double)g) - 1) < 2e-15L);
  }
  CHECK(internal::ln_above_one(1) == 0);
  CHECK(internal::exp_negative(0) == 1);
  CHECK(internal::exp_negative(-kInf) == 0);
}

TEST_CASE("log-probabilities have the same bits everywhere") {
  std::vector<float> logits(1000);
  uint32_t state = 1;
  for (float& x : logits) {  // of no library's generator: -8 .. 8
    state = state * 1664525u + 1013904223u;
    x = float(int32_t(state >> 8)) * 0x1p-20f - 8;
  }
  uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a over the bits of (token, logprob)
  for (const pith_logprob& p : logprobs(logits, 500, 1000).top) {
    uint32_t words[2] = {uint32_t(p.token)};
    std::memcpy(&words[1], &p.logprob, sizeof p.logprob);
    for (const uint32_t word : words)
      for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (word >> shift & 0xff)) * 0x100000001b3ull;
  }
  CHECK(hash == 2390818003121502010ull);
}

TEST_CASE("log-probabilities: NaN, infinity and nothing likely are refused, and nothing is written") {
  const auto refuses = [](const std::vector<float>& logits, int32_t token, uint32_t k, pith_status expected,
                          const std::string& in_message) {
    float logprob = 42;
    std::vector<pith_logprob> top(8, pith_logprob{42, 42});
    pith_error error;
    const pith_status status =
        pith_logprobs(logits.data(), uint32_t(logits.size()), token, &logprob, k, top.data(), &error);
    CHECK(int(status) == int(expected));
    CHECK_MESSAGE(std::string(error.message).find(in_message) != std::string::npos, error.message);
    CHECK(logprob == 42);
    for (const pith_logprob& p : top) CHECK((p.token == 42 && p.logprob == 42));
  };
  refuses({1, kNan, 3}, 0, 2, PITH_E_NUMERIC, "token 1");
  refuses({1, 2, -kNan}, 0, 2, PITH_E_NUMERIC, "token 2");
  refuses({kInf, 2, 3}, 1, 2, PITH_E_NUMERIC, "token 0");
  refuses({-kInf, -kInf}, 1, 2, PITH_E_NUMERIC, "all of them are -infinity");
  refuses({1, 2, 3}, 3, 2, PITH_E_ARGUMENT, "token: 3");
  refuses({1, 2, 3}, -1, 2, PITH_E_ARGUMENT, "token: -1");
  refuses({1, 2, 3}, 0, 4, PITH_E_ARGUMENT, "k: 4");
  CHECK(logprobs(std::vector<float>{1, 2, 3}, 2, 3).top[0].token == 2);
}

TEST_CASE("log-probabilities: what is not asked for may be NULL") {
  const std::vector<float> logits = {1, 3, 2};
  float logprob = 0;
  pith_logprob top[2];
  CHECK(int(pith_logprobs(logits.data(), 3, 1, &logprob, 0, nullptr, nullptr)) == int(PITH_OK));
  CHECK(int(pith_logprobs(logits.data(), 3, -1, nullptr, 2, top, nullptr)) == int(PITH_OK));
  CHECK(top[0].token == 1);
  CHECK(top[0].logprob == logprob);
  CHECK(top[1].token == 2);
}
