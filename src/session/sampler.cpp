#include "session/sampler.h"

#include <algorithm>

#include "fp_environment.h"
#include "ground/status.h"

namespace pith::internal {
namespace {

constexpr uint32_t kMaxWindow = 65536;
constexpr float kInfinity = __builtin_inff();

uint64_t rotate_left(uint64_t x, int n) { return x << n | x >> (64 - n); }

// e^x for x <= 0, to 1e-15: x = n ln 2 + r, the Taylor series to r^13 / 13!; 0 below -700.
double exp_negative(double x) {
  if (x < -700) return 0;
  const double scaled = x * 1.4426950408889634;
  const int32_t n = int32_t(scaled - 0.5);
  const double r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10;
  double p = 1;
  for (int32_t k = 13; k > 0; --k) p = 1 + p * r / k;
  const uint64_t bits = uint64_t(1023 + n) << 52;
  double power;
  __builtin_memcpy(&power, &bits, sizeof power);
  return p * power;
}

bool is_finite_or_minus_infinity(float x) { return x < kInfinity; }  // false for NaN

pith_status check_options(const pith_sampler_options& o, pith_error* error) {
  if (o.struct_size != sizeof o)
    return fail(error, PITH_E_ABI, "option struct_size: ", o.struct_size, "; call pith_sampler_options_init first");
  // Each comparison is false for NaN.
  if (!(o.temperature >= 0 && o.temperature < kInfinity))
    return fail(error, PITH_E_ARGUMENT, "option temperature: not a finite number >= 0");
  if (!(o.top_p > 0 && o.top_p <= 1)) return fail(error, PITH_E_ARGUMENT, "option top_p: not within 0 (excluded) .. 1");
  if (!(o.min_p >= 0 && o.min_p < 1)) return fail(error, PITH_E_ARGUMENT, "option min_p: not within 0 .. 1 (excluded)");
  if (!(o.repeat_penalty > 0 && o.repeat_penalty < kInfinity))
    return fail(error, PITH_E_ARGUMENT, "option repeat_penalty: not a finite number > 0");
  if (o.repeat_window > kMaxWindow)
    return fail(error, PITH_E_ARGUMENT, "option repeat_window: ", o.repeat_window, "; at most 65536");
  return PITH_OK;
}

}  // namespace

void LogitSampler::lay_out(const pith_sampler_options& options, int32_t vocab_size, Arena* arena) {
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

void LogitSampler::accept(int32_t token) {
  if (options_.repeat_window > 0) recent_[n_accepted_ % options_.repeat_window] = token;
  ++n_accepted_;
}

// Every recent token once, however often it occurred. A finite logit stays finite.
void LogitSampler::penalize() {
  const float penalty = options_.repeat_penalty;
  if (penalty == 1) return;
  const uint64_t n = std::min<uint64_t>(n_accepted_, options_.repeat_window);
  for (uint64_t i = 0; i < n; ++i) {
    const int32_t id = recent_[i];
    if (seen_[id] != 0) continue;
    seen_[id] = 1;
    float& logit = candidates_[id].logit;
    if (logit > -kInfinity)
      logit = std::clamp(logit > 0 ? logit / penalty : logit * penalty, -__FLT_MAX__, __FLT_MAX__);
  }
  for (uint64_t i = 0; i < n; ++i) seen_[recent_[i]] = 0;
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

pith_status LogitSampler::draw(const float* logits, int32_t* out_token) {
  const FpEnvironment environment;
  bool any = false;
  for (int32_t i = 0; i < vocab_size_; ++i) {
    if (!is_finite_or_minus_infinity(logits[i])) return PITH_E_NUMERIC;
    any = any || logits[i] > -kInfinity;
    candidates_[i] = {logits[i], i, 0};
  }
  if (!any) return PITH_E_NUMERIC;
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

}  // namespace pith::internal

struct pith_sampler {
  pith::internal::LogitSampler sampler;
};

extern "C" {

void pith_sampler_options_init(pith_sampler_options* options) {
  if (options != nullptr) *options = {sizeof *options, 0.8f, 40, 0.95f, 0.05f, 1.0f, 64, 1};
}

pith_status pith_sampler_bytes(const pith_sampler_options* options, uint32_t vocab_size, size_t* out_bytes,
                               pith_error* error) {
  constexpr uint32_t kMaxVocab = 1u << 24;
  if (options == nullptr || out_bytes == nullptr)
    return pith::internal::fail(error, PITH_E_ARGUMENT, "sampler: an argument is NULL");
  if (vocab_size == 0 || vocab_size > kMaxVocab)
    return pith::internal::fail(error, PITH_E_ARGUMENT, "sampler: vocab_size ", vocab_size, " is not within 1 .. 2^24");
  PITH_TRY(pith::internal::check_options(*options, error));
  pith::internal::Arena measure;
  measure.take<pith_sampler>(1);
  pith::internal::LogitSampler().lay_out(*options, int32_t(vocab_size), &measure);
  *out_bytes = measure.used();
  return PITH_OK;
}

pith_status pith_sampler_init(const pith_sampler_options* options, uint32_t vocab_size, void* memory,
                              size_t memory_bytes, pith_sampler** out_sampler, pith_error* error) {
  if (out_sampler == nullptr) return pith::internal::fail(error, PITH_E_ARGUMENT, "sampler: out_sampler is NULL");
  size_t need = 0;
  PITH_TRY(pith_sampler_bytes(options, vocab_size, &need, error));
  PITH_TRY(pith::internal::check_memory("sampler", memory, memory_bytes, need, error));
  pith::internal::Arena arena(memory);
  pith_sampler* sampler = arena.take<pith_sampler>(1);
  *sampler = pith_sampler{};
  sampler->sampler.lay_out(*options, int32_t(vocab_size), &arena);
  *out_sampler = sampler;
  return PITH_OK;
}

pith_status pith_sampler_accept(pith_sampler* sampler, int32_t token) {
  if (sampler == nullptr || token < 0 || token >= sampler->sampler.vocab_size()) return PITH_E_ARGUMENT;
  sampler->sampler.accept(token);
  return PITH_OK;
}

pith_status pith_sampler_draw(pith_sampler* sampler, const float* logits, int32_t* out_token) {
  if (sampler == nullptr || logits == nullptr || out_token == nullptr) return PITH_E_ARGUMENT;
  return sampler->sampler.draw(logits, out_token);
}

}  // extern "C"
