#include "pooling.h"

#include <cmath>
#include <utility>

namespace pith {

void MeanState::add(std::span<const float> hidden) {
  const size_t width = sums_.size();
  for (size_t i = 0; i < hidden.size(); ++i) sums_[i % width] += double(hidden[i]);
  n_ += hidden.size() / width;
}

std::vector<double> MeanState::take() {
  std::vector<double> out = std::exchange(sums_, std::vector<double>(sums_.size()));
  for (double& sum : out) sum /= double(n_);
  n_ = 0;
  return out;
}

void normalise(std::vector<double>* vector) {
  double squares = 0;
  for (const double x : *vector) squares += x * x;
  if (squares == 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (double& x : *vector) x *= scale;
}

}  // namespace pith
