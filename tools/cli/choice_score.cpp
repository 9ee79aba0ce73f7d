#include "choice_score.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <stdexcept>

#include <fmt/core.h>

namespace pith::cli {
namespace {

std::vector<int32_t> encoded(const Tokenizer& tokenizer, const std::string& text, bool has_bos) {
  return tokenizer.encode(text, has_bos ? PITH_ENCODE_BOS : PITH_ENCODE_NO_BOS);
}

// White space at its end goes to the choice: tokens begin with it.
std::string_view without_end(std::string_view context) {
  return context.substr(0, context.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace

std::vector<ChoiceTokens> choice_tokens(const ChoiceTask& task, const Tokenizer& tokenizer, bool has_bos) {
  const std::string context(without_end(task.context));
  const bool leads = has_bos || (context.empty() && tokenizer.bos() >= 0);
  const std::vector<int32_t> alone = encoded(tokenizer, context, leads);
  std::vector<ChoiceTokens> out;
  for (const std::string& choice : task.choices) {
    std::vector<int32_t> ids = encoded(tokenizer, task.context + task.between + choice, leads);
    size_t same = size_t(std::mismatch(alone.begin(), alone.end(), ids.begin(), ids.end()).first - alone.begin());
    same = std::min(same, ids.size() - 1);  // a choice has a token, whatever a vocabulary makes of it
    if (same == 0)
      throw std::runtime_error(fmt::format(
          "choice {}: no token comes before it; this model has no begin-of-text token, so give it a context",
          out.size()));
    out.push_back({std::move(ids), same});
  }
  return out;
}

ChoiceScorer::ChoiceScorer(const Model& model, const pith_session_options& options)
    : context_(model, options), choice_(model, options), vocab_size_(model.info().vocab_size) {}

void ChoiceScorer::read_context(const ChoiceTokens& choice) {
  const std::span<const int32_t> wanted = std::span(choice.ids).first(choice.n_context);
  if (std::equal(held_.begin(), held_.end(), wanted.begin(), wanted.end())) return;
  held_.clear();
  context_.reset();
  context_.eval(wanted);
  held_.assign(wanted.begin(), wanted.end());
  n_read_ += wanted.size();
}

std::vector<double> ChoiceScorer::score(const std::vector<ChoiceTokens>& choices) {
  std::vector<double> out;
  for (const ChoiceTokens& choice : choices) {
    read_context(choice);
    const std::span<const int32_t> scored = std::span(choice.ids).subspan(choice.n_context);
    double sum = logprobs(context_.logits(), scored.front()).logprob;
    if (const size_t n = scored.size() - 1; n > 0) {
      rows_.resize(n * vocab_size_);
      choice_.copy_from(context_);
      choice_.eval_each(scored.first(n), rows_);
      n_read_ += n;
      for (size_t i = 0; i < n; ++i)
        sum += logprobs(std::span(rows_).subspan(i * vocab_size_, vocab_size_), scored[i + 1]).logprob;
    }
    out.push_back(sum);
  }
  return out;
}

size_t likeliest_choice(const ChoiceTask& task, const std::vector<double>& scores, bool is_normalised) {
  const auto value = [&](size_t i) { return is_normalised ? scores[i] / double(task.choices[i].size()) : scores[i]; };
  size_t best = 0;
  for (size_t i = 1; i < scores.size(); ++i) {
    if (value(i) > value(best)) best = i;
  }
  return best;
}

void ChoiceAccuracy::add(const ChoiceTask& task, const std::vector<double>& scores) {
  ++n_;
  n_right_ += likeliest_choice(task, scores, false) == task.answer;
  n_right_normalised_ += likeliest_choice(task, scores, true) == task.answer;
  chance_sum_ += 1 / double(task.choices.size());
}

double ChoiceAccuracy::standard_error(double share) const {
  return n_ > 1 ? std::sqrt(share * (1 - share) / double(n_ - 1)) : std::nan("");
}

}  // namespace pith::cli
