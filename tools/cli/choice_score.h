// How likely a model finds the choices of a task: the sum of the log-probabilities of a choice's tokens.
//
// Tokens are those of context and choice as one text, and a choice's begin where they differ from the context's alone:
// a token that spans the two is the choice's, and so is white space at the context's end. (lm-evaluation-harness cuts
// after as many tokens as the context has alone, which is the same unless a token spans the two.) The text begins with
// the begin-of-text token as `pith run` has it, and in any case where the context has no token of its own.
//
// The context is read once, by one call; every choice goes on from a copy of that session. So a score does not depend
// on the other choices, nor on their order.
#ifndef PITH_CLI_CHOICE_SCORE_H
#define PITH_CLI_CHOICE_SCORE_H

#include <cstdint>
#include <string>
#include <vector>

#include "choice_tasks.h"
#include "pith/pith.hpp"

namespace pith::cli {

// A choice as tokens: ids[0, n_context) are the context's, one or more, and what follows is scored, one or more.
struct ChoiceTokens {
  std::vector<int32_t> ids;
  size_t n_context;
};

// Throws std::runtime_error that names the field: a choice that no token of the context comes before.
std::vector<ChoiceTokens> choice_tokens(const ChoiceTask& task, const Tokenizer& tokenizer, bool has_bos);

class ChoiceScorer {
 public:
  // `options` with a capacity that holds every text.
  ChoiceScorer(const Model& model, const pith_session_options& options);

  // Natural logarithms, one for every choice.
  std::vector<double> score(const std::vector<ChoiceTokens>& choices);

  Session& context() { return context_; }
  uint64_t tokens_read() const { return n_read_; }  // by both sessions

 private:
  void read_context(const ChoiceTokens& choice);

  Session context_, choice_;
  std::vector<int32_t> held_;  // what context_ has read
  size_t vocab_size_;
  std::vector<float> rows_;  // [tokens, vocab_size]
  uint64_t n_read_ = 0;
};

// Shares of tasks whose answer is the likeliest choice: by the sum, and by the sum over the bytes of the choice in
// UTF-8 as its file has it (lm-evaluation-harness counts characters, which are the same in ASCII). Of equals the first.
class ChoiceAccuracy {
 public:
  // `scores`: of the task's choices. Returns whether each of the two takes the answer.
  void add(const ChoiceTask& task, const std::vector<double>& scores);

  size_t tasks() const { return n_; }
  double accuracy() const { return double(n_right_) / double(n_); }
  double normalised() const { return double(n_right_normalised_) / double(n_); }
  double chance() const { return chance_sum_ / double(n_); }  // of who guesses
  // sqrt(p (1 - p) / (n - 1)): the standard error of a mean of 0s and 1s, as lm-evaluation-harness has it. NaN of one
  // task.
  double standard_error(double share) const;

 private:
  size_t n_ = 0, n_right_ = 0, n_right_normalised_ = 0;
  double chance_sum_ = 0;
};

// The place of the likeliest, by the sum or by the sum over bytes.
size_t likeliest_choice(const ChoiceTask& task, const std::vector<double>& scores, bool is_normalised);

}  // namespace pith::cli

#endif
