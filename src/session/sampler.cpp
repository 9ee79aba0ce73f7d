#include "session/sampler.h"

#include <algorithm>
#include <cstring>

#include "fp_environment.h"
#include "ground/saved_state.h"
#include "session/exponential.h"
#include "session/log_probability.h"

namespace pith::internal {
namespace {

constexpr uint32_t kMaxWindow = 65536;
constexpr float kInfinity = __builtin_inff();

uint64_t rotate_left(uint64_t x, int n) { return x << n | x >> (64 - n); }

constexpr SavedKind kKind{"PITHSAMP", 1, "sampler", "of a model with another number of tokens"};

struct StateHeader {
  SavedHeader saved;
  uint64_t generator[4], n_tokens;
};
static_assert(sizeof(StateHeader) == 80);

int32_t read_i32(const uint8_t* bytes) {
  int32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

template <typename T>
T or_default(T value, T none, T none_means, T zero_means) {
  return value == none ? none_means : value == 0 ? zero_means : value;
}

}  // namespace

pith_status resolve(const pith_sampler_options& o, Sampling* out, pith_error* error) {
  if (o.reserved != 0)
    return fail(error, PITH_E_ABI, "pith_sampler_options: reserved is ", o.reserved, "; set it to 0");
  *out = {or_default(o.temperature, PITH_GREEDY, 0.0f, 0.8f),
          or_default(o.top_k, PITH_TOP_K_ALL, 0u, 40u),
          o.top_p == 0 ? 0.95f : o.top_p,
          or_default(o.min_p, PITH_MIN_P_NONE, 0.0f, 0.05f),
          o.repeat_penalty == 0 ? 1.0f : o.repeat_penalty,
          or_default(o.repeat_window, PITH_REPEAT_WINDOW_NONE, 0u, 64u),
          o.seed};
  // Each comparison is false for NaN.
  if (!(out->temperature >= 0 && out->temperature < kInfinity))
    return fail(error, PITH_E_ARGUMENT, "option temperature: not a finite number > 0, nor PITH_GREEDY");
  if (!(out->top_p > 0 && out->top_p <= 1))
    return fail(error, PITH_E_ARGUMENT, "option top_p: not within 0 (excluded) .. 1");
  if (!(out->min_p >= 0 && out->min_p < 1))
    return fail(error, PITH_E_ARGUMENT, "option min_p: not within 0 .. 1 (excluded), nor PITH_MIN_P_NONE");
  if (!(out->repeat_penalty > 0 && out->repeat_penalty < kInfinity))
    return fail(error, PITH_E_ARGUMENT, "option repeat_penalty: not a finite number > 0");
  if (out->repeat_window > kMaxWindow)
    return fail(error, PITH_E_ARGUMENT, "option repeat_window: ", o.repeat_window,
                "; at most 65536, or PITH_REPEAT_WINDOW_NONE");
  return PITH_OK;
}

void LogitSampler::lay_out(const Sampling& options, int32_t vocab_size, Arena* arena) {
  options_ = options;
  vocab_size_ = vocab_size;
  candidates_ = arena->take<Candidate>(size_t(vocab_size));
  recent_ = arena->take<int32_t>(options.repeat_window);
  seen_ = arena->take<uint8_t>(size_t(vocab_size));
  n_accepted_ = 0;
  seed(options.seed);
  if (!arena->is_measuring()) std::fill(seen_, seen_ + vocab_size, uint8_t(0));
}

void LogitSampler::seed(uint64_t value) {  // SplitMix64
  for (uint64_t& word : state_) {
    value += 0x9e3779b97f4a7c15ull;
    uint64_t x = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    word = x ^ (x >> 31);
  }
}

double LogitSampler::uniform() {  // xoshiro256**, 53 bits
  const uint64_t result = rotate_left(state_[1] * 5, 7) * 9, t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate_left(state_[3], 45);
  return double(result >> 11) * 0x1p-53;
}

uint32_t LogitSampler::n_recent() const {
  return n_accepted_ < options_.repeat_window ? uint32_t(n_accepted_) : options_.repeat_window;
}

void LogitSampler::accept(int32_t token) {
  if (options_.repeat_window > 0) recent_[n_accepted_ % options_.repeat_window] = token;
  ++n_accepted_;
}

// Every recent token once, however often it occurred. A finite logit stays finite.
void LogitSampler::penalize() {
  const float penalty = options_.repeat_penalty;
  if (penalty == 1) return;
  const uint32_t n = n_recent();
  for (uint32_t i = 0; i < n; ++i) {
    const int32_t id = recent_[i];
    if (seen_[id] != 0) continue;
    seen_[id] = 1;
    float& logit = candidates_[id].logit;
    if (logit > -kInfinity)
      logit = std::clamp(logit > 0 ? logit / penalty : logit * penalty, -__FLT_MAX__, __FLT_MAX__);
  }
  for (uint32_t i = 0; i < n; ++i) seen_[recent_[i]] = 0;
}

// The k likeliest, likeliest first, lower ids first among equals; returns how many there are.
int32_t LogitSampler::keep_top_k() {
  const auto is_likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const int32_t k =
      options_.top_k == 0 || options_.top_k > uint32_t(vocab_size_) ? vocab_size_ : int32_t(options_.top_k);
  if (k < vocab_size_) std::nth_element(candidates_, candidates_ + k, candidates_ + vocab_size_, is_likelier);
  std::sort(candidates_, candidates_ + k, is_likelier);
  return k;
}

// Weighs the n candidates, e^(logit - largest), and cuts them by top-p and then min-p; at least one stays.
int32_t LogitSampler::keep_likely(int32_t n) {
  double total = 0;
  for (int32_t i = 0; i < n; ++i) {
    const double gap = double(candidates_[i].logit) - double(candidates_[0].logit);  // -infinity - finite at the worst
    candidates_[i].weight = exp_negative(gap / double(options_.temperature));
    total += candidates_[i].weight;
  }
  const double enough = double(options_.top_p) * total, least = double(options_.min_p) * candidates_[0].weight;
  double sum = 0;
  for (int32_t i = 0; i < n; ++i) {
    if (i > 0 && (candidates_[i].weight < least || candidates_[i].weight == 0 || (options_.top_p < 1 && sum >= enough)))
      return i;
    sum += candidates_[i].weight;
  }
  return n;
}

pith_status LogitSampler::draw(const float* logits, int32_t* out_token, pith_error* error) {
  const FpEnvironment environment;
  float largest;
  PITH_TRY(check_logits(logits, vocab_size_, &largest, error));
  for (int32_t i = 0; i < vocab_size_; ++i) candidates_[i] = {logits[i], i, 0};
  penalize();
  int32_t chosen = 0;
  if (options_.temperature == 0) {
    for (int32_t i = 1; i < vocab_size_; ++i) {
      if (candidates_[i].logit > candidates_[chosen].logit) chosen = i;
    }
  } else {
    const int32_t n = keep_likely(keep_top_k());
    double total = 0;
    for (int32_t i = 0; i < n; ++i) total += candidates_[i].weight;
    double left = uniform() * total;
    int32_t i = 0;
    for (; i + 1 < n && left >= candidates_[i].weight; ++i) left -= candidates_[i].weight;
    chosen = candidates_[i].id;
  }
  accept(chosen);
  *out_token = chosen;
  return PITH_OK;
}

size_t LogitSampler::state_bytes() const {
  return sizeof(StateHeader) + size_t(options_.repeat_window) * sizeof(int32_t);
}

size_t LogitSampler::save(uint8_t* out) const {
  StateHeader h{};
  const uint32_t n = n_recent();
  std::copy(state_, state_ + 4, h.generator);
  h.n_tokens = n;
  std::memcpy(out, &h, sizeof h);
  for (uint32_t i = 0; i < n; ++i) {
    const int32_t token = recent_[(n_accepted_ - n + i) % options_.repeat_window];
    std::memcpy(out + sizeof h + i * sizeof token, &token, sizeof token);
  }
  const size_t bytes = sizeof h + n * sizeof(int32_t);
  seal_state(kKind, uint64_t(vocab_size_), out, bytes);
  return bytes;
}

pith_status LogitSampler::restore(const uint8_t* state, size_t n, pith_error* error) {
  StateHeader h;
  PITH_TRY(check_state(kKind, uint64_t(vocab_size_), state, n, sizeof h, error));
  std::memcpy(&h, state, sizeof h);
  const uint64_t* g = h.generator;
  if (h.n_tokens > kMaxWindow || n != sizeof h + h.n_tokens * sizeof(int32_t))
    return fail(error, PITH_E_SAVED_VALUE, "state: ", h.n_tokens, " tokens do not make ", uint64_t(n), " bytes");
  if ((g[0] | g[1] | g[2] | g[3]) == 0)
    return fail(error, PITH_E_SAVED_VALUE, "state: no generator ever has four words of 0");
  const auto token_at = [&](uint64_t i) { return read_i32(state + sizeof h + i * sizeof(int32_t)); };
  for (uint64_t i = 0; i < h.n_tokens; ++i) {
    if (token_at(i) < 0 || token_at(i) >= vocab_size_)
      return fail(error, PITH_E_SAVED_VALUE, "state: token ", token_at(i), " is not within 0 .. ", vocab_size_ - 1);
  }
  std::copy(g, g + 4, state_);
  n_accepted_ = 0;
  const uint64_t window = options_.repeat_window;
  for (uint64_t i = h.n_tokens < window ? 0 : h.n_tokens - window; i < h.n_tokens; ++i) accept(token_at(i));
  return PITH_OK;
}

}  // namespace pith::internal
