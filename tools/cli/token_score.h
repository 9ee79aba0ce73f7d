// How well logits predict tokens, and how far they are from those of another model.
#ifndef PITH_CLI_TOKEN_SCORE_H
#define PITH_CLI_TOKEN_SCORE_H

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "document.h"

namespace pith::cli {

class TokenScore {
 public:
  // `logits` [V], those before `token`; `base` [V], the other model's, or empty.
  void add(int32_t token, std::span<const float> logits, std::span<const float> base);

  size_t tokens() const { return tokens_; }
  double nats() const { return nats_; }  // of all tokens
  double perplexity() const { return std::exp(nats_ / double(tokens_)); }
  void put_distance(json::Document* out) const;  // kl_mean, kl_max and top1_agreement

 private:
  double nats_ = 0, kl_sum_ = 0, kl_max_ = 0;
  size_t tokens_ = 0, top1_ = 0;
};

// On a terminal's standard error, now and then.
void show_scored(size_t done, size_t total);

}  // namespace pith::cli

#endif
