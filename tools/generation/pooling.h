// A text as one vector: from the normed hidden states of its tokens, those that the output matrix multiplies.
#ifndef PITH_GENERATION_POOLING_H
#define PITH_GENERATION_POOLING_H

#include <cstddef>
#include <span>
#include <vector>

namespace pith {

enum class Pooling {
  mean,  // of all tokens, the begin-of-text token included
  last   // that of the last token
};

// The mean of hidden states that come some at a time: sums in double, in the order of tokens.
class MeanState {
 public:
  explicit MeanState(size_t width) : sums_(width) {}
  void add(std::span<const float> hidden);  // [tokens, width]
  std::vector<double> take();               // of one token or more; the next text begins

 private:
  std::vector<double> sums_;
  size_t n_ = 0;
};

// To the length 1, unless it is 0.
void normalise(std::vector<double>* vector);

}  // namespace pith

#endif
