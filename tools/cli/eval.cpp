// pith eval: perplexity of a text or of token ids, and the distance to another model.
//
// A line `<|endoftext|>` ends a document (text_tokens.h): it becomes the end-of-text token, whose prediction costs nats
// and adds no bytes. Nothing else of the text is changed, and what was scored is counted: documents and bytes. The
// tokens are cut into consecutive windows of the context length. A window starts with the begin-of-text token, and
// every following token is predicted. bits_per_byte = total nats / ln 2 / bytes of the text that was predicted.
//
// Ids are evaluated as they are, in one text from position 0, and every one but the first is predicted. They may not be
// more than the context, for then the first would be forgotten unasked; with --slide they may.
#include <cmath>

#include <fmt/core.h>

#include "commands.h"
#include "standard_streams.h"
#include "id_file.h"
#include "npy_writer.h"
#include "text_tokens.h"
#include "token_score.h"

namespace pith::cli {
namespace {

// The model, a session of it, and those of --base if there is one.
struct Evaluation {
  const EvalOptions& options;
  Model model;
  pith_session_options resolved;
  Session session;
  std::optional<Model> base_model;
  std::optional<Session> base;

  explicit Evaluation(const EvalOptions& o)
      : options(o), model(o.model.load_ahead()), resolved(o.session.resolve_for(model)), session(model, resolved) {
    if (o.base.empty()) return;
    base_model.emplace(Model::open(o.base));
    if (base_model->info().vocab_size != model.info().vocab_size)
      throw std::runtime_error("option --base: its vocabulary has another size");
    check_same_tokens();
    base.emplace(*base_model, resolved);
  }
  // Logits can only be compared where a number stands for the same token. Of models that run from ids alone nobody
  // knows.
  void check_same_tokens() const {
    const Result<Tokenizer> mine = Tokenizer::create(model), other = Tokenizer::create(*base_model);
    if (!mine || !other) return;
    for (int32_t id = 0; id < int32_t(model.info().vocab_size); ++id) {
      const std::string_view a = mine->token_text(id), b = other->token_text(id);
      if (a != b)
        throw std::runtime_error(fmt::format("option --base: its token {} is {}, here it is {}", id,
                                             json::quoted(std::string(b)), json::quoted(std::string(a))));
    }
  }
  size_t context() const { return resolved.capacity; }
  std::vector<Session*> sessions() {
    return base ? std::vector<Session*>{&session, &*base} : std::vector<Session*>{&session};
  }
};

json::Document document_of(const Evaluation& e, const TokenScore& score) {
  json::Document out = {{"model", e.options.model.name()},
                        {"tier", pith_session_tier(e.session.get())},
                        {"threads", e.session.threads()},
                        {"context", e.context()}};
  if (score.tokens() > 0) out["perplexity"] = score.perplexity();
  out["tokens"] = score.tokens();
  return out;
}

void print_document(const Evaluation& e, const TokenScore& score, json::Document out) {
  if (e.base && score.tokens() > 0) score.put_distance(&out);
  out["logits_hash"] = logits_hash(e.session.logits());
  if (e.options.json) return print_json(out);
  for (const auto& [key, value] : out.members()) print("{:<16} {}\n", key, escaped(value.shown()));
}

// ---- a text

TokenScore score_windows(const std::vector<int32_t>& tokens, const Tokenizer& tokenizer, size_t window, Evaluation* e) {
  TokenScore score;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool starts = i % (window - 1) == 0;
    for (Session* session : e->sessions()) {
      if (starts) session->reset();
      session->eval(starts ? tokenizer.bos() : tokens[i - 1]);
    }
    score.add(tokens[i], e->session.logits(), e->base ? e->base->logits() : std::span<const float>());
    show_scored(i, tokens.size());
  }
  return score;
}

void eval_text(const EvalOptions& options) {
  Evaluation e(options);
  const Tokenizer tokenizer(e.model);
  if (tokenizer.bos() < 0) throw std::runtime_error("key tokenizer.ggml.bos_token_id: missing; windows start with it");
  const TextTokens text = text_tokens(options.text, tokenizer);
  std::vector<int32_t> tokens = text.ids;
  if (options.limit > 0 && tokens.size() > options.limit) tokens.resize(options.limit);
  if (tokens.empty()) throw std::runtime_error("option --text: the file is empty");
  if (e.context() < 2) throw std::runtime_error("option --context: windows have at least 2 tokens");
  const double start = seconds();
  const TokenScore score = score_windows(tokens, tokenizer, e.context(), &e);
  const double taken = seconds() - start;
  size_t bytes = 0;
  for (const int32_t token : tokens) bytes += tokenizer.decode(token).size();
  json::Document out = document_of(e, score);
  out["bytes"] = bytes;
  out["documents"] = text.n_documents;
  if (text.n_empty > 0) out["empty_documents"] = text.n_empty;
  if (text.n_crlf_lines > 0) out["crlf_lines"] = text.n_crlf_lines;
  out["bits_per_byte"] = score.nats() / std::log(2.0) / double(bytes);
  out["tokens_per_s"] = double(tokens.size()) / taken;
  print_document(e, score, out);
}

// ---- token ids

// The ids go through in calls of a whole chunk: the bits of one call with all of them, and the logits of one chunk in
// memory.
size_t chunk_of(const Evaluation& e) {
  const size_t wanted = e.resolved.chunk != 0 ? e.resolved.chunk : 512;  // the default of pith.h
  return std::min(wanted, e.context() - e.resolved.n_keep);
}

TokenScore score_ids(const std::vector<int32_t>& ids, NpyWriter* output, Evaluation* e) {
  const size_t width = e->model.info().vocab_size, n_sessions = e->base ? 2 : 1;
  const size_t chunk = std::min(chunk_of(*e), ids.size());
  std::vector<float> logits[2], last[2];  // [chunk, V]; [V], of the token before. Empty without --base or token
  for (size_t s = 0; s < n_sessions; ++s) logits[s].resize(chunk * width);
  TokenScore score;
  for (size_t i = 0; i < ids.size(); i += chunk) {
    const size_t n = std::min(chunk, ids.size() - i);
    for (size_t s = 0; s < n_sessions; ++s)
      e->sessions()[s]->eval_each(std::span(ids).subspan(i, n), std::span(logits[s]).first(n * width));
    if (output != nullptr) output->write(std::span(logits[0]).first(n * width));
    for (size_t k = 0; k < n; ++k) {
      const auto before = [&](size_t s) -> std::span<const float> {
        if (k == 0 || logits[s].empty()) return last[s];
        return std::span(logits[s]).subspan((k - 1) * width, width);
      };
      if (i + k > 0) score.add(ids[i + k], before(0), before(1));
      show_scored(i + k, ids.size());
    }
    for (size_t s = 0; s < n_sessions; ++s) last[s].assign(logits[s].end() - long(width), logits[s].end());
  }
  return score;
}

void eval_ids(const EvalOptions& options) {
  Evaluation e(options);
  const uint32_t vocab_size = e.model.info().vocab_size;
  std::vector<int32_t> ids = read_ids(options.ids, vocab_size);
  if (options.limit > 0 && ids.size() > options.limit) ids.resize(options.limit);
  if (ids.size() < 2 && options.logits.empty())
    throw std::runtime_error("option --ids: one id predicts no other; give more of them, or --logits");
  if (ids.size() > e.context() && !options.slide)
    throw std::runtime_error(fmt::format(
        "option --ids: {} ids, and a context of {}; take a --context that holds them, or --slide to let the oldest go",
        ids.size(), e.context()));
  std::optional<NpyWriter> output;
  if (!options.logits.empty()) output.emplace(options.logits, ids.size(), vocab_size);
  const double start = seconds();
  const TokenScore score = score_ids(ids, output ? &*output : nullptr, &e);
  const double taken = seconds() - start;
  if (output) output->commit();
  json::Document out = document_of(e, score);
  out["tokens_per_s"] = double(ids.size()) / taken;
  if (output) out["logits"] = options.logits;
  print_document(e, score, out);
}

}  // namespace

void eval(const EvalOptions& options) {
  if (!options.choices.empty()) return eval_choices(options);
  return options.ids.empty() ? eval_text(options) : eval_ids(options);
}

}  // namespace pith::cli
