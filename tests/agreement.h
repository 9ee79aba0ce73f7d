// How far two runs of a model agree: divergence of their distributions, and their best tokens.
#ifndef PITH_TESTS_AGREEMENT_H
#define PITH_TESTS_AGREEMENT_H

#include <cmath>
#include <vector>

#include "reference/reference_model.h"

namespace pith::test {

using namespace internal;

inline Vector as_vector(const std::vector<float>& x) {
  return Eigen::Map<const Eigen::VectorXf>(x.data(), int64_t(x.size())).cast<double>();
}

// Sum p ln(p / q) of the distributions of two rows of logits, in nats.
inline double divergence(const Vector& p_logits, const Vector& q_logits) {
  const auto log_softmax = [](const Vector& x) -> Vector {
    const double top = x.maxCoeff();
    return x.array() - top - std::log((x.array() - top).exp().sum());
  };
  const Vector p = log_softmax(p_logits), q = log_softmax(q_logits);
  return (p.array().exp() * (p - q).array()).sum();
}

inline Eigen::Index top(const Vector& x) {
  Eigen::Index at = 0;
  x.maxCoeff(&at);
  return at;
}

struct Agreement {
  double kl_mean = 0, top1 = 0;
};

inline Agreement agreement(const std::vector<std::vector<float>>& base, const std::vector<std::vector<float>>& other) {
  Agreement total;
  for (size_t t = 0; t < base.size(); ++t) {
    const Vector p = as_vector(base[t]), q = as_vector(other[t]);
    total.kl_mean += divergence(p, q) / double(base.size());
    total.top1 += (top(p) == top(q)) / double(base.size());
  }
  return total;
}

}  // namespace pith::test

#endif
