// Two traces of the same tokens, held against each other.
#ifndef PITH_PARITY_COMPARISON_H
#define PITH_PARITY_COMPARISON_H

#include <cstdint>
#include <string>
#include <vector>

#include "forward_trace.h"

namespace pith::parity {

// The distance of one tensor from the trace's. A relative error is ||a - b|| / ||b||, of one token or of all together.
struct TensorError {
  std::string name;  // "layer.3.k"
  double max_absolute = 0, mean_absolute = 0;
  double max_relative = 0, mean_relative = 0;  // over the tokens
  double relative = 0;                         // of all tokens together
  double cosine = 1;                           // of all tokens together
  size_t worst_token = 0;                      // of max_relative
};

// What the distance means for text.
struct LogitsError {
  double kl_mean = 0, kl_max = 0;  // nats of the trace's distribution to the runtime's
  std::vector<double> kl;          // [tokens]
  double top1 = 1, top5 = 1;       // agreement: same likeliest token; share of the five likeliest that are the same
  double perplexity = 0, perplexity_of_trace = 0;  // of each next token of the sequence
  int64_t first_other_token = -1;                  // position after which greedy text goes another way; -1: nowhere
};

// Tensors that both have, in the order of the forward pass. Throws std::runtime_error if tokens differ, a tensor has two
// shapes, or nothing is common.
std::vector<TensorError> compare_tensors(const ForwardTrace& a, const ForwardTrace& b);

// Both have logits.
LogitsError compare_logits(const ForwardTrace& a, const ForwardTrace& b);

const TensorError* find_error(const std::vector<TensorError>& errors, const std::string& name);  // NULL: absent

// How far a step may be off, and the first that is farther.
struct Verdict {
  std::vector<double> allowed;  // [errors]: what float32 and quantisation explain, on `relative`
  int64_t first = -1;           // index of the first error that they do not; -1: none
};

// A tensor may be off by `float_bound` (float32 arithmetic in another order, by token), and by `margin` times the root of the
// squares of what each quantised part does on its own: `parts` are comparisons of the runtime with itself, quantised and
// not, each with the tensors of `errors` or fewer. Without parts every token is held to float_bound. A part is measured with the
// very code that is judged, so that a fault of rounding itself raises what it may be off: kMostExplained ends that, and
// only float32 runs (or thresholds of one's own) find smaller ones.
constexpr double kMostExplained = 0.5;
Verdict judge(const std::vector<TensorError>& errors, const std::vector<std::vector<TensorError>>& parts,
              double float_bound, double margin);

}  // namespace pith::parity

#endif
