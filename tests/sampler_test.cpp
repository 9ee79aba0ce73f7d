// The sampler: its generator against published outputs, every draw against a slow reference in long double, greedy, the
// repetition penalty, the distribution, misuse, and the tokens that every machine must draw.
#include <doctest/doctest.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "pith/pith.hpp"
#include "raw_gguf.h"

using namespace pith;
using namespace pith::internal;
using pith::test::Block;
using pith::test::block_of;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kMax = std::numeric_limits<float>::max();

// xoshiro256** (Blackman and Vigna), seeded by SplitMix64.
struct Generator {
  uint64_t s[4];

  static uint64_t split_mix(uint64_t* x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  static Generator seeded(uint64_t seed) {
    Generator g;
    for (uint64_t& word : g.s) word = split_mix(&seed);
    return g;
  }
  uint64_t next() {
    const auto rotl = [](uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
    const uint64_t result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
  }
  long double uniform() { return (long double)(next() >> 11) / (1ull << 53); }
};

// Options in which zero is zero, as the reference below and the command line have it: greedy, all tokens, no token.
struct Natural {
  float temperature = 0.8f;
  uint32_t top_k = 40;
  float top_p = 0.95f, min_p = 0.05f, repeat_penalty = 1;
  uint32_t repeat_window = 64;
  uint64_t seed = 1;

  operator pith_sampler_options() const {
    pith_sampler_options o = sampler_options();
    o.temperature = temperature == 0 ? PITH_GREEDY : temperature;
    o.top_k = top_k == 0 ? PITH_TOP_K_ALL : top_k;
    o.top_p = top_p;
    o.min_p = min_p == 0 ? PITH_MIN_P_NONE : min_p;
    o.repeat_penalty = repeat_penalty;
    o.repeat_window = repeat_window == 0 ? PITH_REPEAT_WINDOW_NONE : repeat_window;
    o.seed = seed;
    return o;
  }
};

Natural plain(float temperature = 1) {  // no filter, no penalty
  Natural o;
  o.temperature = temperature;
  o.top_k = 0;
  o.top_p = 1;
  o.min_p = 0;
  return o;
}

// The sampler by its description, with libm in long double.
class Reference {
 public:
  Reference(const Natural& options) : o_(options), generator_(Generator::seeded(options.seed)) {}

  struct Kept {
    int32_t id;
    long double p;  // before the last renormalisation
  };

  std::vector<Kept> kept(std::vector<float> logits) const {
    std::vector<int32_t> seen = recent_;
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    for (const int32_t id : seen) {
      float& x = logits[size_t(id)];
      if (std::isfinite(x)) x = std::clamp(x > 0 ? x / o_.repeat_penalty : x * o_.repeat_penalty, -kMax, kMax);
    }
    std::vector<int32_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = int32_t(i);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return logits[size_t(a)] > logits[size_t(b)]; });
    if (o_.top_k > 0 && o_.top_k < order.size()) order.resize(o_.top_k);
    std::vector<Kept> out;
    long double total = 0;
    for (const int32_t id : order) {
      const long double gap = (long double)logits[size_t(id)] - (long double)logits[size_t(order[0])];
      out.push_back({id, std::exp(gap / o_.temperature)});
      total += out.back().p;
    }
    long double before = 0;  // of the likelier ones
    size_t n = 0;
    for (; n < out.size(); ++n) {
      out[n].p /= total;
      if (n > 0 && ((o_.top_p < 1 && before >= o_.top_p) || out[n].p < o_.min_p * out[0].p)) break;
      before += out[n].p;
    }
    out.resize(n);
    return out;
  }

  // The token, and how near the draw was to the border of another one: rounding may decide there.
  int32_t draw(const std::vector<float>& logits, long double* margin) {
    const std::vector<Kept> list = kept(logits);
    long double total = 0, sum = 0;
    for (const Kept& k : list) total += k.p;
    const long double target = generator_.uniform() * total;
    *margin = 1;
    int32_t chosen = -1;
    for (const Kept& k : list) {
      sum += k.p;
      *margin = std::min(*margin, std::fabs(sum - target) / total);
      if (chosen < 0 && target < sum) chosen = k.id;
    }
    return chosen < 0 ? list.back().id : chosen;
  }
  void accept(int32_t token) {
    recent_.push_back(token);
    if (recent_.size() > o_.repeat_window) recent_.erase(recent_.begin());
  }

 private:
  Natural o_;
  Generator generator_;
  std::vector<int32_t> recent_;
};

std::vector<float> random_logits(size_t n, float scale, std::mt19937_64* random) {
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& x : out) x = scale * normal(*random);
  return out;
}

// Draws `n` times from logits that change with every draw; both sides accept what was drawn. Returns how many draws
// were compared. Weights differ from the reference's by relative 1e-15 each and sums of at most 1,000 of them by 1e-12,
// so a draw within 1e-11 of a border, or a filter whose border is that near, may go either way: the options and seeds
// here meet no such case, and a draw near a border is not compared.
int compare_draws(const Natural& o, size_t vocab, float scale, int n, uint64_t seed) {
  std::mt19937_64 random(seed);
  Sampler sampler(uint32_t(vocab), o);
  Reference reference(o);
  int compared = 0;
  for (int i = 0; i < n; ++i) {
    std::vector<float> logits = random_logits(vocab, scale, &random);
    if (i % 3 == 0 && vocab > 1) logits[random() % vocab] = -kInf;
    if (i % 5 == 0) logits[random() % vocab] = logits[random() % vocab];  // a tie
    long double margin = 0;
    const int32_t expected = reference.draw(logits, &margin), drawn = sampler.draw(logits);
    if (margin > 1e-11L) {
      REQUIRE(drawn == expected);
      ++compared;
    }
    reference.accept(drawn);
  }
  return compared;
}

struct Refused {
  pith_status status;
  std::string message;
};
Refused refusal(const pith_sampler_options& o, uint32_t vocab = 10) {
  pith_error error{};
  size_t bytes = 0;
  const pith_status status = pith_sampler_bytes(&o, vocab, &bytes, &error);
  return {status, error.message};
}

}  // namespace

TEST_CASE("sampler: the reference generator has the published outputs") {
  uint64_t x = 1234567;  // SplitMix64
  for (const uint64_t expected : {6457827717110365317ull, 3203168211198807973ull, 9817491932198370423ull})
    CHECK(Generator::split_mix(&x) == expected);
  Generator g{{1, 2, 3, 4}};  // xoshiro256**
  for (const uint64_t expected : {11520ull, 0ull, 1509978240ull, 1215971899390074240ull}) CHECK(g.next() == expected);
}

TEST_CASE("sampler: equal logits draw the top 16 bits of the generator") {
  for (const uint64_t seed : {0ull, 1ull, ~0ull}) {
    Natural o = plain();
    o.seed = seed;
    const std::vector<float> logits(65536, 3.5f);
    Sampler sampler(65536, o);
    Generator generator = Generator::seeded(seed);
    for (int i = 0; i < 20; ++i) CHECK(sampler.draw(logits) == int32_t(generator.next() >> 48));
  }
}

TEST_CASE("sampler: every filter, and all together, against the reference") {
  struct Case {
    const char* name;
    float temperature;
    uint32_t top_k;
    float top_p, min_p, penalty;
    uint32_t window;
  };
  const Case cases[] = {
      {"none", 1, 0, 1, 0, 1, 0},
      {"hot", 3, 0, 1, 0, 1, 0},
      {"cold", 0.1f, 0, 1, 0, 1, 0},
      {"top_k 1", 1, 1, 1, 0, 1, 0},
      {"top_k 5", 1, 5, 1, 0, 1, 0},
      {"top_k beyond", 1, 5000, 1, 0, 1, 0},
      {"top_p 0.5", 1, 0, 0.5f, 0, 1, 0},
      {"top_p tiny", 1, 0, 1e-6f, 0, 1, 0},
      {"top_p of what top_k left", 2, 4, 0.6f, 0, 1, 0},
      {"min_p 0.2", 1, 0, 1, 0.2f, 1, 0},
      {"penalty 1.3", 1, 0, 1, 0, 1.3f, 64},
      {"penalty 0.7", 1, 0, 1, 0, 0.7f, 3},
      {"window 0", 1, 0, 1, 0, 1.3f, 0},
      {"all", 0.8f, 40, 0.95f, 0.05f, 1.1f, 64},
  };
  uint64_t seed = 300;
  for (const Case& c : cases) {
    INFO(std::string(c.name), ", seed ", seed);
    Natural o;
    o.temperature = c.temperature;
    o.top_k = c.top_k;
    o.top_p = c.top_p;
    o.min_p = c.min_p;
    o.repeat_penalty = c.penalty;
    o.repeat_window = c.window;
    o.seed = seed;
    CHECK(compare_draws(o, 200, 2, 400, seed) > 390);
    CHECK(compare_draws(o, 3, 1, 100, seed + 1) > 95);
    CHECK(compare_draws(o, 1, 1, 10, seed + 2) == 10);
    seed += 10;
  }
}

TEST_CASE("sampler: the drawn tokens are distributed as the softmax says") {
  // 400,000 draws from 10 tokens. Pearson's statistic is near chi-square with k = 9 degrees of freedom; by Laurent and
  // Massart P(X >= k + 2 sqrt(k x) + 2 x) <= e^-x: 59.5 for x = 14, e^-14 < 1e-6.
  const std::vector<float> logits = {0, 1, 2, -1, 0.5f, -2, 1.5f, 0, -0.5f, 1};
  const int n = 400000;
  Natural o = plain(0.9f);
  o.seed = 4;
  INFO("seed ", o.seed);
  Sampler sampler(uint32_t(logits.size()), o);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < n; ++i) ++counts[size_t(sampler.draw(logits))];
  double total = 0, statistic = 0, uniform_statistic = 0;
  for (const float x : logits) total += std::exp(double(x) / 0.9f);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double expected = n * std::exp(double(logits[i]) / 0.9f) / total, flat = n / double(logits.size());
    statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
    uniform_statistic += (counts[i] - flat) * (counts[i] - flat) / flat;
  }
  CHECK(statistic < 59.5);
  CHECK(uniform_statistic > 59.5);  // the test sees another distribution
}

TEST_CASE("sampler: an option of 0 is the default that pith.h says") {
  struct Default {
    const char* name;
    void (*set)(pith_sampler_options* o, float value);
    float value, other;
  };
  const Default defaults[] = {
      {"temperature", [](pith_sampler_options* o, float v) { o->temperature = v; }, 0.8f, 0.82f},
      {"top_k", [](pith_sampler_options* o, float v) { o->top_k = uint32_t(v); }, 40, 41},
      {"top_p", [](pith_sampler_options* o, float v) { o->top_p = v; }, 0.95f, 0.94f},
      {"min_p", [](pith_sampler_options* o, float v) { o->min_p = v; }, 0.05f, 0.06f},
      {"repeat_penalty", [](pith_sampler_options* o, float v) { o->repeat_penalty = v; }, 1, 1.02f},
      {"repeat_window", [](pith_sampler_options* o, float v) { o->repeat_penalty = 3, o->repeat_window = uint32_t(v); },
       64, 63},
  };
  constexpr uint32_t kVocab = 200;
  std::vector<float> logits(kVocab);
  for (uint32_t i = 0; i < kVocab; ++i) logits[i] = 5 - 0.02f * float(i);  // none falls to the first filter alone
  for (const Default& d : defaults) {
    INFO(std::string(d.name));
    const auto drawn = [&](float value) {
      pith_sampler_options o = plain();
      d.set(&o, value);
      Sampler sampler(kVocab, o);
      std::vector<int32_t> out(2000);
      for (int32_t& id : out) id = sampler.draw(logits);
      return out;
    };
    const std::vector<int32_t> by_default = drawn(0);
    CHECK(by_default == drawn(d.value));
    CHECK(by_default != drawn(d.other));
  }
}

TEST_CASE("sampler: PITH_GREEDY takes the largest logit, the lowest id among equals") {
  const auto greedy = [](const std::vector<float>& logits) {
    return Sampler(uint32_t(logits.size()), plain(0)).draw(logits);
  };
  CHECK(greedy({1, 3, 2}) == 1);
  CHECK(greedy({1, 3, 3, 2, 3}) == 1);
  CHECK(greedy({-kInf, -5, -kInf}) == 1);
  CHECK(greedy({0, 0, 0}) == 0);
  CHECK(greedy({-0.0f, 0.0f}) == 0);
  CHECK(greedy({1e-45f, 3e-45f}) == 1);
  CHECK(greedy({-kMax, kMax}) == 1);
  CHECK(greedy({7}) == 0);
  for (const uint64_t seed : {1ull, 2ull, 3ull}) {  // top_k = 1 is greedy too, whatever the seed and the temperature
    Natural o = plain(5);
    o.top_k = 1;
    o.seed = seed;
    CHECK(Sampler(5, o).draw(std::vector<float>{1, 3, 3, 2, 3}) == 1);
  }
}

TEST_CASE("sampler: the repetition penalty") {
  Natural o = plain(0);
  o.repeat_penalty = 2;
  o.repeat_window = 2;
  SUBCASE("divides positive logits, and what was drawn counts as recent") {
    Sampler sampler(3, o);
    const std::vector<float> logits = {4, 3, 1.9f};
    const int32_t expected[] = {0, 1, 0, 0, 1};  // 4; 3 against 2; 2 against 1.9 and 1.5, twice; 3 against 2
    for (const int32_t token : expected) CHECK(sampler.draw(logits) == token);
  }
  SUBCASE("multiplies negative logits") {
    Sampler sampler(2, o);
    sampler.accept(0);
    CHECK(sampler.draw(std::vector<float>{-1, -1.5f}) == 1);
  }
  SUBCASE("counts a token once, however often it occurred") {
    Sampler sampler(2, o);
    sampler.accept(0);
    sampler.accept(0);
    CHECK(sampler.draw(std::vector<float>{4, 1.5f}) == 0);
  }
  SUBCASE("forgets what left the window") {
    Sampler sampler(4, o);
    for (const int32_t token : {0, 1, 2}) sampler.accept(token);
    CHECK(sampler.draw(std::vector<float>{4, 5, 5, 3}) == 0);
  }
  SUBCASE("draws no token at -infinity, however often it occurred") {
    o.temperature = 1;
    for (const float penalty : {0.5f, 2.0f}) {
      o.repeat_penalty = penalty;
      Sampler sampler(2, o);
      for (int i = 0; i < 50; ++i) {
        sampler.accept(1);
        CHECK(sampler.draw(std::vector<float>{-kMax, -kInf}) == 0);
      }
    }
  }
  SUBCASE("leaves finite logits finite and infinite ones infinite") {
    for (const float penalty : {1e-38f, 1e38f}) {
      o.repeat_penalty = penalty;
      for (const float temperature : {0.0f, 1e-30f, 1.0f, kMax}) {
        o.temperature = temperature;
        Sampler sampler(3, o);
        sampler.accept(0);
        sampler.accept(1);
        const int32_t token = sampler.draw(std::vector<float>{kMax, -kMax, -kInf});
        CHECK(token >= 0);
        CHECK(token <= 1);
      }
    }
  }
}

TEST_CASE("sampler: extreme temperatures") {
  const std::vector<float> logits = {-kMax, 0, kMax, 1, -kInf};
  Sampler cold(5, plain(1e-45f)), hot(5, plain(kMax));
  std::map<int32_t, int> counts;
  for (int i = 0; i < 300; ++i) {
    CHECK(cold.draw(logits) == 2);
    ++counts[hot.draw(logits)];
  }
  CHECK(counts.size() == 4);  // gaps of 1 and 2 after division: all finite logits occur, -infinity never
  CHECK(counts.count(4) == 0);
}

TEST_CASE("sampler: NaN, infinity and nothing to choose are PITH_E_NUMERIC and change nothing") {
  const std::vector<float> good = {1, 2, 3, 2};
  Natural o = plain();
  o.repeat_penalty = 1.5f;
  Sampler sampler(4, o), untouched(4, o);
  const auto status_of = [&](const std::vector<float>& logits) {
    try {
      sampler.draw(logits);
      return PITH_OK;
    } catch (const Error& e) {
      return e.status();
    }
  };
  for (int i = 0; i < 50; ++i) {
    CHECK(status_of({1, kNan, 3, 2}) == PITH_E_NUMERIC);
    CHECK(status_of({1, 2, 3, -kNan}) == PITH_E_NUMERIC);
    CHECK(status_of({-kInf, -kInf, -kInf, -kInf}) == PITH_E_NUMERIC);
    CHECK(status_of({1, kInf, 3, 2}) == PITH_E_NUMERIC);
    REQUIRE(sampler.draw(good) == untouched.draw(good));
  }
}

TEST_CASE("sampler: a seed fixes the tokens") {
  std::mt19937_64 random(5);
  const std::vector<float> logits = random_logits(100, 1, &random);
  const auto tokens = [&](uint64_t seed) {
    pith_sampler_options o = sampler_options();
    o.seed = seed;
    Sampler sampler(100, o);
    std::vector<int32_t> out(64);
    for (int32_t& token : out) token = sampler.draw(logits);
    return out;
  };
  CHECK(tokens(1) == tokens(1));
  CHECK(tokens(1) != tokens(2));
  CHECK(tokens(0) != tokens(1));
}

TEST_CASE("sampler: the same tokens on every machine and in every floating-point environment of the host") {
  std::vector<float> logits(64);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = float(int(i * 37 % 64) - 32) / 8;
  const auto tokens = [&] {
    Sampler sampler(64, Natural());
    std::vector<int32_t> out(24);
    for (int32_t& token : out) token = sampler.draw(logits);
    return out;
  };
  const std::vector<int32_t> golden = {24, 31, 50, 57, 5,  19, 19, 57, 36, 31, 10, 48,
                                       10, 5,  50, 36, 19, 31, 19, 19, 12, 31, 50, 57};
  CHECK(tokens() == golden);
  for (const int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
    REQUIRE(std::fesetround(mode) == 0);
    const std::vector<int32_t> drawn = tokens();
    const int mode_after = std::fegetround();
    std::fesetround(FE_TONEAREST);
    CHECK(drawn == golden);
    CHECK(mode_after == mode);
  }
}

TEST_CASE("sampler: options out of range are refused by name") {
  struct Case {
    const char* name;
    std::function<void(pith_sampler_options*)> change;
  };
  const Case bad[] = {
      {"temperature", [](auto* o) { o->temperature = -0.1f; }},
      {"temperature", [](auto* o) { o->temperature = kNan; }},
      {"temperature", [](auto* o) { o->temperature = kInf; }},
      {"top_p", [](auto* o) { o->top_p = 1.01f; }},
      {"top_p", [](auto* o) { o->top_p = kNan; }},
      {"top_p", [](auto* o) { o->top_p = -1; }},
      {"min_p", [](auto* o) { o->min_p = 1; }},
      {"min_p", [](auto* o) { o->min_p = -0.1f; }},
      {"min_p", [](auto* o) { o->min_p = kNan; }},
      {"repeat_penalty", [](auto* o) { o->repeat_penalty = -1; }},
      {"repeat_penalty", [](auto* o) { o->repeat_penalty = kNan; }},
      {"repeat_penalty", [](auto* o) { o->repeat_penalty = kInf; }},
      {"repeat_window", [](auto* o) { o->repeat_window = 65537; }},
  };
  for (const Case& c : bad) {
    pith_sampler_options o = sampler_options();
    c.change(&o);
    const Refused refused = refusal(o);
    CHECK(refused.status == PITH_E_ARGUMENT);
    CHECK_MESSAGE(refused.message.find(c.name) != std::string::npos, refused.message);
  }
  const Case good[] = {
      {"defaults", [](auto*) {}},
      {"least",
       [](auto* o) {
         o->temperature = 1e-45f, o->top_p = 1e-30f, o->min_p = 1e-30f, o->repeat_penalty = 1e-30f,
         o->repeat_window = 1;
       }},
      {"none",
       [](auto* o) {
         o->temperature = PITH_GREEDY, o->top_k = PITH_TOP_K_ALL, o->min_p = PITH_MIN_P_NONE,
         o->repeat_window = PITH_REPEAT_WINDOW_NONE;
       }},
      {"most",
       [](auto* o) {
         o->temperature = kMax, o->top_p = 1, o->min_p = 0.999f, o->repeat_penalty = kMax, o->repeat_window = 65536,
         o->top_k = ~0u;
       }},
  };
  for (const Case& c : good) {
    pith_sampler_options o = sampler_options();
    c.change(&o);
    CHECK_MESSAGE(refusal(o).status == PITH_OK, c.name);
    CHECK(Sampler(3, o).draw(std::vector<float>{0, -1, 5}) >= 0);
  }
  for (const uint32_t size : {0u, uint32_t(sizeof(pith_sampler_options)) - 1, ~0u}) {
    pith_sampler_options o = sampler_options();
    o.struct_size = size;
    CHECK(refusal(o).status == PITH_E_ABI);
  }
  CHECK(refusal(sampler_options(), 0).status == PITH_E_ARGUMENT);
  CHECK(refusal(sampler_options(), ~0u).status == PITH_E_ARGUMENT);
}

TEST_CASE("sampler: memory is exact, and misuse is answered with a status") {
  const pith_sampler_options o = sampler_options();
  size_t bytes = 0;
  REQUIRE(pith_sampler_bytes(&o, 77, &bytes, nullptr) == PITH_OK);
  const Block memory = block_of(bytes + 64);
  pith_sampler* sampler = nullptr;
  CHECK(pith_sampler_init(&o, 77, memory.get(), bytes - 1, &sampler, nullptr) == PITH_E_MEMORY);
  CHECK(pith_sampler_init(&o, 77, memory.get() + 8, bytes, &sampler, nullptr) == PITH_E_ALIGNMENT);
  CHECK(pith_sampler_init(&o, 77, nullptr, bytes, &sampler, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_sampler_init(&o, 77, memory.get(), bytes, nullptr, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_sampler_init(nullptr, 77, memory.get(), bytes, &sampler, nullptr) == PITH_OK);  // the defaults
  CHECK(pith_sampler_bytes(&o, 77, nullptr, nullptr) == PITH_E_ARGUMENT);
  const Block exact = block_of(bytes);  // AddressSanitizer sees every byte beyond
  REQUIRE(pith_sampler_init(&o, 77, exact.get(), bytes, &sampler, nullptr) == PITH_OK);
  CHECK(pith_sampler_accept(sampler, -1, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_sampler_accept(sampler, 77, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_sampler_accept(nullptr, 0, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_sampler_accept(sampler, 76, nullptr) == PITH_OK);
  const std::vector<float> logits(77, 1.0f);
  int32_t token = -1;
  CHECK(pith_sampler_draw(nullptr, logits.data(), &token, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_sampler_draw(sampler, nullptr, &token, nullptr) == PITH_E_ARGUMENT);
  CHECK(pith_sampler_draw(sampler, logits.data(), nullptr, nullptr) == PITH_E_ARGUMENT);
  for (int i = 0; i < 200; ++i) CHECK(pith_sampler_draw(sampler, logits.data(), &token, nullptr) == PITH_OK);
}
