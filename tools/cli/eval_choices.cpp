// pith eval --choices: the share of multiple-choice tasks that a model gets right.
#include <algorithm>
#include <cmath>
#include <memory>

#include <fmt/core.h>

#include "choice_score.h"
#include "choice_tasks.h"
#include "commands.h"
#include "descriptors.h"
#include "drawing.h"
#include "output_file.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

std::vector<ChoiceTask> read_tasks(const EvalOptions& options) try {
  std::vector<ChoiceTask> out = parse_choice_tasks(read_file(options.choices));
  if (options.limit > 0 && out.size() > options.limit) out.resize(options.limit);
  return out;
} catch (const std::runtime_error& error) {
  const std::string why = error.what();
  throw std::runtime_error(why.starts_with("file ") ? why : fmt::format("file {}: {}", options.choices, why));
}

// All tasks as tokens, so that what cannot be scored is found before anything is.
std::vector<std::vector<ChoiceTokens>> tokens_of(const std::vector<ChoiceTask>& tasks, const Model& model,
                                                 const Tokenizer& tokenizer, const EvalOptions& options) {
  const bool has_bos = leads_with_bos(model, tokenizer);
  std::vector<std::vector<ChoiceTokens>> out;
  for (const ChoiceTask& task : tasks) {
    try {
      out.push_back(choice_tokens(task, tokenizer, has_bos));
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("file {}: line {}: {}", options.choices, task.line, error.what()));
    }
  }
  return out;
}

// Both sessions hold the longest text and no more, unless --context says so.
uint32_t capacity_for(const std::vector<ChoiceTask>& tasks, const std::vector<std::vector<ChoiceTokens>>& tokens,
                      const Model& model, const EvalOptions& options) {
  const size_t most = options.session.context != 0 ? options.session.context : model.info().context_length;
  size_t longest = 2;
  for (size_t i = 0; i < tasks.size(); ++i) {
    for (size_t k = 0; k < tokens[i].size(); ++k) {
      const size_t n = tokens[i][k].ids.size() - 1;  // the last one predicts nothing
      if (n > most)
        throw std::runtime_error(fmt::format(
            "file {}: line {}: choice {}: {} tokens with its context, and a context of {}; {}", options.choices,
            tasks[i].line, k, n, most, options.session.context != 0 ? "take a longer --context" : "shorten it"));
      longest = std::max(longest, n);
    }
  }
  return options.session.context != 0 ? options.session.context : uint32_t(longest);
}

void show_tasks(size_t done, size_t total) {
  if (internal::is_terminal(internal::kStandardError))
    tell("\r{} of {} tasks{}", done, total, done == total ? "\n" : "");
}

// A number, or null where there is none.
json::Document number_or_null(double value) { return std::isnan(value) ? json::Document() : json::Document(value); }

std::string scores_line(const ChoiceTask& task, const std::vector<double>& scores) {
  json::Document bytes = json::Document::array();
  for (const std::string& choice : task.choices) bytes.push_back(choice.size());
  json::Document out;
  out.add("line", task.line);
  out.add("answer", task.answer);
  out.add("logprobs", scores);
  out.add("bytes", bytes);
  out.add("likeliest", likeliest_choice(task, scores, false));
  out.add("likeliest_normalised", likeliest_choice(task, scores, true));
  return out.dump() + "\n";
}

}  // namespace

void eval_choices(const EvalOptions& options) {
  const std::vector<ChoiceTask> tasks = read_tasks(options);
  const Model model = options.model.load_ahead();
  const Tokenizer tokenizer(model);
  const std::vector<std::vector<ChoiceTokens>> tokens = tokens_of(tasks, model, tokenizer, options);
  pith_session_options resolved = options.session.resolve();
  resolved.capacity = capacity_for(tasks, tokens, model, options);
  const std::unique_ptr<OutputFile> file =
      options.scores.empty() ? nullptr : std::make_unique<OutputFile>(options.scores);
  ChoiceScorer scorer(model, resolved);
  ChoiceAccuracy accuracy;
  size_t n_scored = 0;
  const double start = seconds();
  for (size_t i = 0; i < tasks.size(); ++i) {
    const std::vector<double> scores = scorer.score(tokens[i]);
    accuracy.add(tasks[i], scores);
    for (const ChoiceTokens& choice : tokens[i]) n_scored += choice.ids.size() - choice.n_context;
    if (file != nullptr) {
      const std::string line = scores_line(tasks[i], scores);
      file->write(line.data(), line.size());
    }
    show_tasks(i + 1, tasks.size());
  }
  const double taken = seconds() - start;
  json::Document out = {{"model", options.model.name()},
                        {"tier", scorer.context().tier()},
                        {"threads", scorer.context().threads()},
                        {"context", resolved.capacity},
                        {"tasks", accuracy.tasks()},
                        {"chance", accuracy.chance()},
                        {"accuracy", accuracy.accuracy()},
                        {"accuracy_stderr", number_or_null(accuracy.standard_error(accuracy.accuracy()))},
                        {"accuracy_norm", accuracy.normalised()},
                        {"accuracy_norm_stderr", number_or_null(accuracy.standard_error(accuracy.normalised()))},
                        {"tokens", n_scored},
                        {"tokens_per_s", double(scorer.tokens_read()) / taken}};
  if (!options.scores.empty()) out["scores"] = options.scores;
  if (options.json) print_json(out);
  else
    for (const auto& [key, value] : out.members()) print("{:<20} {}\n", key, escaped(value.shown()));
  if (file != nullptr) file->commit();
}

}  // namespace pith::cli
