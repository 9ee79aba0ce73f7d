// The C ABI of samplers and of log-probabilities: checks arguments once per call, then hands over.
#include "api/struct_sizes.h"
#include "fp_environment.h"
#include "session/log_probability.h"
#include "session/sampler.h"

using namespace pith::internal;

namespace {

pith_status check_vocab_size(uint32_t vocab_size, pith_error* error) {
  constexpr uint32_t kMaxVocab = 1u << 24;
  if (vocab_size == 0 || vocab_size > kMaxVocab)
    return fail(error, PITH_E_ARGUMENT, "argument vocab_size: ", vocab_size, " is not within 1 .. 2^24");
  return PITH_OK;
}

// A program's options, resolved; NULL: the defaults.
pith_status sampling_of(const pith_sampler_options* options, uint32_t vocab_size, Sampling* out, pith_error* error) {
  PITH_TRY(check_vocab_size(vocab_size, error));
  const FpEnvironment environment;  // options may be NaN
  pith_sampler_options given{};
  if (options != nullptr) PITH_TRY(read_struct(options, &given, error));
  return resolve(given, out, error);
}

size_t bytes_of(const Sampling& sampling, uint32_t vocab_size) {
  Arena measure;
  measure.take<pith_sampler>(1);
  LogitSampler().lay_out(sampling, int32_t(vocab_size), &measure);
  return measure.used();
}

}  // namespace

extern "C" {

void pith_sampler_options_init(pith_sampler_options* options, uint32_t struct_size) {
  init_struct(options, struct_size);
}

pith_status pith_sampler_bytes(const pith_sampler_options* options, uint32_t vocab_size, size_t* out_bytes,
                               pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"out_bytes", out_bytes}}, error));
  Sampling sampling;
  PITH_TRY(sampling_of(options, vocab_size, &sampling, error));
  *out_bytes = bytes_of(sampling, vocab_size);
  return PITH_OK;
}

pith_status pith_sampler_init(const pith_sampler_options* options, uint32_t vocab_size, void* memory,
                              size_t memory_bytes, pith_sampler** out_sampler, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"out_sampler", out_sampler}}, error));
  Sampling sampling;
  PITH_TRY(sampling_of(options, vocab_size, &sampling, error));
  PITH_TRY(check_memory("sampler", memory, memory_bytes, bytes_of(sampling, vocab_size), error));
  Arena arena(memory);
  pith_sampler* sampler = arena.take<pith_sampler>(1);
  *sampler = pith_sampler{};
  sampler->sampler.lay_out(sampling, int32_t(vocab_size), &arena);
  *out_sampler = sampler;
  return PITH_OK;
}

pith_status pith_sampler_accept(pith_sampler* sampler, int32_t token, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"sampler", sampler}}, error));
  const int32_t vocab_size = sampler->sampler.vocab_size();
  if (token < 0 || token >= vocab_size)
    return fail(error, PITH_E_ARGUMENT, "argument token: ", token, " is not within 0 .. ", vocab_size - 1);
  sampler->sampler.accept(token);
  return PITH_OK;
}

pith_status pith_sampler_draw(pith_sampler* sampler, const float* logits, int32_t* out_token, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"sampler", sampler}, {"logits", logits}, {"out_token", out_token}}, error));
  return sampler->sampler.draw(logits, out_token, error);
}

pith_status pith_sampler_set_seed(pith_sampler* sampler, uint64_t seed, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"sampler", sampler}}, error));
  sampler->sampler.seed(seed);
  return PITH_OK;
}

size_t pith_sampler_state_bytes(const pith_sampler* sampler) {
  return sampler == nullptr ? 0 : sampler->sampler.state_bytes();
}

pith_status pith_sampler_save(const pith_sampler* sampler, void* state, size_t capacity, size_t* out_bytes,
                              pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"sampler", sampler}, {"state", state}, {"out_bytes", out_bytes}}, error));
  *out_bytes = sampler->sampler.state_bytes();
  PITH_TRY(check_capacity("a state of this sampler", capacity, *out_bytes, error));
  *out_bytes = sampler->sampler.save(static_cast<uint8_t*>(state));
  return PITH_OK;
}

pith_status pith_sampler_restore(pith_sampler* sampler, const void* state, size_t state_bytes, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"sampler", sampler}, {"state", state}}, error));
  return sampler->sampler.restore(static_cast<const uint8_t*>(state), state_bytes, error);
}

pith_status pith_logprobs(const float* logits, uint32_t vocab_size, int32_t token, float* out_logprob, uint32_t k,
                          pith_logprob* top, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"logits", logits}}, error));
  PITH_TRY(check_vocab_size(vocab_size, error));
  if (out_logprob != nullptr && (token < 0 || uint32_t(token) >= vocab_size))
    return fail(error, PITH_E_ARGUMENT, "argument token: ", token, " is not within 0 .. ", vocab_size - 1);
  if (k > vocab_size)
    return fail(error, PITH_E_ARGUMENT, "argument k: ", k, " is not within 0 .. vocab_size, which is ", vocab_size);
  if (k > 0) PITH_TRY(check_arguments({{"top", top}}, error));
  const FpEnvironment environment;
  const int32_t n = int32_t(vocab_size);
  float largest;
  PITH_TRY(check_logits(logits, n, &largest, error));
  const double total = log_sum_exp(logits, n, largest);
  const auto logprob = [&](float logit) { return float((double(logit) - double(largest)) - total); };
  if (out_logprob != nullptr) *out_logprob = logprob(logits[token]);
  find_likeliest(logits, n, k, top);
  for (uint32_t i = 0; i < k; ++i) top[i].logprob = logprob(top[i].logprob);
  return PITH_OK;
}

}  // extern "C"
