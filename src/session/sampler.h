// Draws a token from logits: repetition penalty, temperature, top-k, top-p, min-p, draw. Deterministic on every
// machine: comparisons, IEEE arithmetic in a fixed order, an exponential of its own, and xoshiro256** seeded by
// SplitMix64.
#ifndef PITH_SESSION_SAMPLER_H
#define PITH_SESSION_SAMPLER_H

#include <cstddef>
#include <cstdint>

#include "ground/arena.h"
#include "pith/pith.h"

namespace pith::internal {

// (pith::internal::Sampler is the class of pith.hpp: a program that links libpith.a has both.)
class LogitSampler {
 public:
  void lay_out(const pith_sampler_options& options, int32_t vocab_size, Arena* arena);
  int32_t vocab_size() const { return vocab_size_; }
  void accept(int32_t token);
  pith_status draw(const float* logits, int32_t* out_token);

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double weight;  // proportional to the probability
  };

  void seed(uint64_t value);
  double uniform();  // [0, 1)
  void penalize();
  int32_t keep_top_k();
  int32_t keep_likely(int32_t n);

  pith_sampler_options options_{};
  int32_t vocab_size_ = 0;
  uint64_t state_[4] = {};
  Candidate* candidates_ = nullptr;  // [vocab_size]
  int32_t* recent_ = nullptr;        // [repeat_window], a ring
  uint8_t* seen_ = nullptr;          // [vocab_size]
  uint64_t n_accepted_ = 0;
};

}  // namespace pith::internal

#endif
