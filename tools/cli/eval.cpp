// pith eval: perplexity of a text, and the distance to another model.
//
// A line `<|endoftext|>` ends a document: it becomes the end-of-text token, whose prediction costs nats and adds no bytes. The
// tokens are cut into consecutive windows of the context length. A window starts with the begin-of-text token, and every
// following token is predicted. bits_per_byte = total nats / ln 2 / bytes of the text that was predicted.
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include <fmt/core.h>

#include "commands.h"
#include "text_tokens.h"

namespace pith::cli {
namespace {

struct Score {
  double nats = 0, kl_sum = 0, kl_max = 0;
  size_t tokens = 0, bytes = 0, top1 = 0;

  double perplexity() const { return std::exp(nats / double(tokens)); }
  double bits_per_byte() const { return nats / std::log(2.0) / double(bytes); }
};

// log softmax in double. [V]
std::vector<double> log_probabilities(std::span<const float> logits) {
  double largest = -INFINITY, total = 0;
  for (const float x : logits) largest = std::max(largest, double(x));
  for (const float x : logits) total += std::exp(double(x) - largest);
  const double shift = largest + std::log(total);
  std::vector<double> out;
  out.reserve(logits.size());
  for (const float x : logits) out.push_back(double(x) - shift);
  return out;
}

size_t likeliest(std::span<const double> p) { return size_t(std::max_element(p.begin(), p.end()) - p.begin()); }

void compare(const std::vector<double>& base, const std::vector<double>& p, Score* score) {
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += std::exp(base[i]) * (base[i] - p[i]);
  score->kl_sum += kl;
  score->kl_max = std::max(score->kl_max, kl);
  score->top1 += likeliest(base) == likeliest(p);
}

void show_progress(size_t done, size_t total) {
  if (::isatty(STDERR_FILENO) == 0 || done % 64 != 0) return;
  fmt::print(stderr, "\r{} of {} tokens", done, total);
  std::fflush(stderr);
}

// Scores the tokens; `base` may be NULL.
Score score_tokens(const std::vector<int32_t>& tokens, const Tokenizer& tokenizer, size_t window, Session* session,
                   Session* base) {
  Score score;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool starts = i % (window - 1) == 0;
    const int32_t input = starts ? tokenizer.bos() : tokens[i - 1];
    for (Session* s : {session, base}) {
      if (s == nullptr) continue;
      if (starts) s->reset();
      s->eval(input);
    }
    const std::vector<double> p = log_probabilities(session->logits());
    score.nats -= p[size_t(tokens[i])];
    score.bytes += tokenizer.decode(tokens[i]).size();
    ++score.tokens;
    if (base != nullptr) compare(log_probabilities(base->logits()), p, &score);
    show_progress(i, tokens.size());
  }
  return score;
}

}  // namespace

void eval(const EvalOptions& options) {
  const Model model = options.model.load();
  const Tokenizer tokenizer(model);
  if (tokenizer.bos() < 0) throw std::runtime_error("key tokenizer.ggml.bos_token_id: missing; windows start with it");
  std::vector<int32_t> tokens = text_tokens(options.text, tokenizer);
  if (options.limit > 0 && tokens.size() > options.limit) tokens.resize(options.limit);
  if (tokens.empty()) throw std::runtime_error("option --text: the file is empty");
  const pith_session_options resolved = options.session.resolve();
  Session session(model, resolved);
  const size_t window = options.session.context != 0 ? options.session.context : model.info().context_length;
  if (window < 2) throw std::runtime_error("option --context: windows have at least 2 tokens");
  std::unique_ptr<Model> base_model;
  std::unique_ptr<Session> base;
  if (!options.base.empty()) {
    base_model = std::make_unique<Model>(Model::open(options.base));
    if (base_model->info().vocab_size != model.info().vocab_size)
      throw std::runtime_error("option --base: its vocabulary has another size");
    base = std::make_unique<Session>(*base_model, resolved);
  }
  const double start = seconds();
  const Score score = score_tokens(tokens, tokenizer, window, &session, base.get());
  json::Document out = {{"model", options.model.name()},
                        {"tier", pith_session_tier(session.get())},
                        {"threads", options.session.n_threads()},
                        {"context", window},
                        {"perplexity", score.perplexity()},
                        {"tokens", score.tokens},
                        {"bytes", score.bytes},
                        {"bits_per_byte", score.bits_per_byte()},
                        {"tokens_per_s", double(score.tokens) / (seconds() - start)}};
  if (base != nullptr) {
    out["kl_mean"] = score.kl_sum / double(score.tokens);
    out["kl_max"] = score.kl_max;
    out["top1_agreement"] = double(score.top1) / double(score.tokens);
  }
  out["logits_hash"] = logits_hash(session.logits());
  if (options.json) return print_json(out);
  for (const auto& [key, value] : out.members()) fmt::print("{:<16} {}\n", key, value.shown());
}

}  // namespace pith::cli
