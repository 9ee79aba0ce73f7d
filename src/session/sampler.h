// Draws a token from logits: repetition penalty, temperature, top-k, top-p, min-p, draw. Deterministic on every
// machine: comparisons, IEEE arithmetic in a fixed order, the exponential of session/exponential.h, and xoshiro256**
// seeded by SplitMix64.
#ifndef PITH_SESSION_SAMPLER_H
#define PITH_SESSION_SAMPLER_H

#include <cstddef>
#include <cstdint>

#include "ground/arena.h"
#include "pith/pith.h"

namespace pith::internal {

// pith_sampler_options, checked, with every default filled in and every none a zero.
struct Sampling {
  float temperature;       // 0: greedy
  uint32_t top_k;          // 0: all
  float top_p, min_p;      // 1 and 0: all
  float repeat_penalty;    // 1: off
  uint32_t repeat_window;  // 0: none
  uint64_t seed;
};
pith_status resolve(const pith_sampler_options& options, Sampling* out, pith_error* error);

class LogitSampler {
 public:
  void lay_out(const Sampling& options, int32_t vocab_size, Arena* arena);
  int32_t vocab_size() const { return vocab_size_; }
  void accept(int32_t token);
  pith_status draw(const float* logits, int32_t* out_token, pith_error* error);
  void seed(uint64_t value);

  // The generator and the recent tokens as bytes:
  //   what all states begin with (ground/saved_state.h), "PITHSAMP", version 1; the owner is the vocabulary's size
  //   u64 generator[4] | u64 n | i32 tokens [n], the latest last
  size_t state_bytes() const;
  size_t save(uint8_t* out) const;  // `out` [state_bytes]; returns the bytes written
  pith_status restore(const uint8_t* state, size_t n, pith_error* error);

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double weight;  // proportional to the probability
  };

  uint32_t n_recent() const;
  double uniform();  // [0, 1)
  void penalize();
  int32_t keep_top_k();
  int32_t keep_likely(int32_t n);

  Sampling options_{};
  int32_t vocab_size_ = 0;
  uint64_t state_[4] = {};
  Candidate* candidates_ = nullptr;  // [vocab_size]
  int32_t* recent_ = nullptr;        // [repeat_window], a ring
  uint8_t* seen_ = nullptr;          // [vocab_size]
  uint64_t n_accepted_ = 0;
};

}  // namespace pith::internal

struct pith_sampler {
  pith::internal::LogitSampler sampler;
};

#endif
