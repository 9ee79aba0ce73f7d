#include "answers.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <ctime>
#include <random>
#include <span>
#include <utility>

#include <fmt/core.h>

#include "base64.h"

namespace pith::server {
namespace {

std::string random_id(const char* kind) {
  std::random_device random;
  std::string out = kind;
  for (int i = 0; i < 4; ++i) out += fmt::format("{:08x}", random());
  return out;
}

// With the digits that a float has, and no more.
double shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

// JSON has no infinity: OpenAI's word for one is -9999.
double shown(float logprob) { return shortest(std::max(logprob, -9999.0f)); }

json::Document usage_of(const Usage& usage) {
  json::Document out = {{"prompt_tokens", usage.n_prompt},
                        {"completion_tokens", usage.n_drawn},
                        {"total_tokens", usage.n_prompt + usage.n_drawn}};
  json::Document details;
  details.add("cached_tokens", usage.n_cached);
  out.add("prompt_tokens_details", std::move(details));
  return out;
}

std::string event_of(const json::Document& document) { return "data: " + document.dump() + "\n\n"; }

// A token by its name: its text, or of one that has none what it is called.
std::string_view name_of(const ServedModel& served, int32_t token) { return served.tokenizer.token_text(token); }

json::Document score_of(const ServedModel& served, int32_t token, float logprob) {
  const std::string_view name = name_of(served, token);
  json::Document bytes = json::Document::array();
  for (const char c : name) bytes.push_back(unsigned(uint8_t(c)));
  return {{"token", name}, {"logprob", shown(logprob)}, {"bytes", std::move(bytes)}};
}

}  // namespace

CompletionAnswer::CompletionAnswer(const ServedModel& served, bool is_chat)
    : served_(served),
      is_chat_(is_chat),
      id_(random_id(is_chat ? "chatcmpl-" : "cmpl-")),
      created_(std::time(nullptr)) {}

json::Document CompletionAnswer::head(const char* object) const {
  return {{"id", id_},
          {"object", object},
          {"created", created_},
          {"model", served_.name},
          {"system_fingerprint", "pith-" + std::string(version())}};
}

json::Document CompletionAnswer::chat_scores(const std::vector<ScoredToken>& tokens) const {
  json::Document content = json::Document::array();
  for (const ScoredToken& token : tokens) {
    json::Document likeliest = json::Document::array();
    for (const pith_logprob& other : token.likeliest)
      likeliest.push_back(score_of(served_, other.token, other.logprob));
    json::Document score = score_of(served_, token.token, token.logprob);
    score.add("top_logprobs", std::move(likeliest));
    content.push_back(std::move(score));
  }
  json::Document out;
  out.add("content", std::move(content));
  out.add("refusal", {});
  return out;
}

json::Document CompletionAnswer::text_scores(const std::vector<ScoredToken>& tokens) {
  json::Document names = json::Document::array(), logprobs = names, likeliest = names, offsets = names;
  for (const ScoredToken& token : tokens) {
    names.push_back(name_of(served_, token.token));
    logprobs.push_back(shown(token.logprob));
    json::Document others = json::Document::object();
    for (const pith_logprob& other : token.likeliest)
      others[std::string(name_of(served_, other.token))] = shown(other.logprob);
    likeliest.push_back(std::move(others));
    offsets.push_back(text_offset_);
    text_offset_ += served_.tokenizer.decode(token.token).size();
  }
  json::Document out;
  out.add("tokens", std::move(names));
  out.add("token_logprobs", std::move(logprobs));
  out.add("top_logprobs", std::move(likeliest));
  out.add("text_offset", std::move(offsets));
  return out;
}

json::Document CompletionAnswer::scores(const std::vector<ScoredToken>& tokens) {
  if (tokens.empty()) return {};
  return is_chat_ ? chat_scores(tokens) : text_scores(tokens);
}

std::string CompletionAnswer::whole(const Piece& piece, const char* finish_reason, const Usage& usage) {
  json::Document choice;
  choice.add("index", 0);
  if (is_chat_) choice.add("message", {{"role", "assistant"}, {"content", piece.text}, {"refusal", {}}});
  else choice.add("text", piece.text);
  choice.add("logprobs", scores(piece.tokens));
  choice.add("finish_reason", finish_reason);
  json::Document out = head(is_chat_ ? "chat.completion" : "text_completion");
  out.add("choices", json::Document::of_elements({std::move(choice)}));
  out.add("usage", usage_of(usage));
  return out.dump();
}

std::string CompletionAnswer::chunk(json::Document choice) const {
  json::Document out = head(is_chat_ ? "chat.completion.chunk" : "text_completion");
  out.add("choices", json::Document::of_elements({std::move(choice)}));
  return event_of(out);
}

std::string CompletionAnswer::first_event() {
  if (!is_chat_) return "";
  json::Document choice;
  choice.add("index", 0);
  choice.add("delta", {{"role", "assistant"}, {"content", ""}});
  choice.add("logprobs", {});
  choice.add("finish_reason", {});
  return chunk(std::move(choice));
}

std::string CompletionAnswer::event(const Piece& piece) {
  json::Document choice;
  choice.add("index", 0);
  if (is_chat_) {
    json::Document delta;
    delta.add("content", piece.text);
    choice.add("delta", std::move(delta));
  } else {
    choice.add("text", piece.text);
  }
  choice.add("logprobs", scores(piece.tokens));
  choice.add("finish_reason", {});
  return chunk(std::move(choice));
}

std::string CompletionAnswer::last_events(const char* finish_reason, const Usage& usage, bool includes_usage) {
  json::Document choice;
  choice.add("index", 0);
  if (is_chat_) choice.add("delta", json::Document::object());
  else choice.add("text", "");
  choice.add("logprobs", {});
  choice.add("finish_reason", finish_reason);
  std::string out = chunk(std::move(choice));
  if (includes_usage) {
    json::Document last = head(is_chat_ ? "chat.completion.chunk" : "text_completion");
    last.add("choices", json::Document::array());
    last.add("usage", usage_of(usage));
    out += event_of(last);
  }
  return out + "data: [DONE]\n\n";
}

std::string embedding_answer(const ServedModel& served, const EmbeddingJob& job, bool is_base64) {
  static_assert(std::endian::native == std::endian::little);
  json::Document data = json::Document::array();
  for (const std::vector<float>& vector : job.vectors()) {
    json::Document embedding;
    if (is_base64) {
      embedding = base64({reinterpret_cast<const uint8_t*>(vector.data()), vector.size() * sizeof(float)});
    } else {
      embedding = json::Document::array();
      for (const float x : vector) embedding.push_back(shortest(x));
    }
    json::Document one = {{"object", "embedding"}, {"index", data.is_array() ? data.elements().size() : 0}};
    one.add("embedding", std::move(embedding));
    data.push_back(std::move(one));
  }
  json::Document out;
  out.add("object", "list");
  out.add("data", std::move(data));
  out.add("model", served.name);
  out.add("usage", {{"prompt_tokens", job.n_tokens()}, {"total_tokens", job.n_tokens()}});
  return out.dump();
}

json::Document model_answer(const ServedModel& served) {
  return {{"id", served.name}, {"object", "model"}, {"created", served.created}, {"owned_by", "pith"}};
}

}  // namespace pith::server
