#include "completion_request.h"

#include <algorithm>
#include <limits>
#include <random>

#include <fmt/core.h>

#include "api_error.h"
#include "fields.h"
#include "text_inputs.h"

namespace pith::server {
namespace {

constexpr uint32_t kAll = std::numeric_limits<uint32_t>::max();
constexpr uint32_t kTextTokens = 16;     // of a text where nobody says, as OpenAI has it
constexpr uint32_t kMostLikeliest = 20;  // OpenAI's limit of top_logprobs

bool is_empty(const json::Document& value) {
  return (value.is_array() && value.elements().empty()) || (value.is_object() && value.members().empty()) ||
         (value.is_string() && value.string().empty());
}

// What would change the answer, and does not here.
void refuse_unsupported(const Fields& fields) {
  for (const char* name : {"tools", "functions", "audio", "logit_bias", "suffix"}) {
    const json::Document* found = fields.find(name);
    if (found != nullptr && !is_empty(*found)) throw refused(name, "is not supported; leave it out");
  }
  for (const char* name : {"frequency_penalty", "presence_penalty"}) {
    if (fields.number(name, -2, 2).value_or(0) != 0) throw refused(name, "is not supported; repeat_penalty is");
  }
  if (fields.number("repetition_penalty", 0, 100).value_or(1) != 1)
    throw refused("repetition_penalty", "is not supported; repeat_penalty is");
  for (const char* name : {"n", "best_of"}) {
    if (fields.natural(name, 1, kAll).value_or(1) != 1) throw refused(name, "one answer per request is supported: 1");
  }
  if (fields.boolean("echo").value_or(false)) throw refused("echo", "is not supported; leave it out");
  if (const json::Document* modalities = fields.find("modalities")) {
    const bool is_text = modalities->is_array() && modalities->elements().size() == 1 &&
                         modalities->elements()[0] == json::Document("text");
    if (!is_text) throw refused("modalities", "answers are text: [\"text\"]");
  }
}

// The schema of an answer, as JSON; "": none.
std::string read_schema(const Fields& fields) {
  const json::Document* found = fields.find("response_format");
  if (found == nullptr) return "";
  const Fields format(*found, "response_format.");
  const std::string type = format.string("type").value_or("");
  if (type == "text") return "";
  if (type == "json_object") return R"({"type": "object"})";
  if (type != "json_schema")
    throw refused("response_format.type",
                  json::quoted(type) + " is not supported; \"text\", \"json_object\" and \"json_schema\" are");
  return Fields(format.at("json_schema"), "response_format.json_schema.").at("schema").dump();
}

std::shared_ptr<const Grammar> read_grammar(const Fields& fields) {
  const std::string schema = read_schema(fields);
  const std::optional<std::string> rules = fields.string("grammar");
  if (rules && !schema.empty()) throw refused("grammar", "there is a response_format already");
  if (!rules && schema.empty()) return nullptr;
  Result<Grammar> made = rules ? Grammar::try_gbnf(*rules) : Grammar::try_json_schema(schema);
  if (!made) throw refused(rules ? "grammar" : "response_format", made.error().message());
  return std::make_shared<const Grammar>(std::move(*made));
}

std::vector<std::string> read_stops(const Fields& fields) {
  std::vector<std::string> out;
  const json::Document* found = fields.find("stop");
  if (found == nullptr) return out;
  if (found->is_string()) out.push_back(found->string());
  else if (found->is_array() && std::all_of(found->elements().begin(), found->elements().end(),
                                            [](const json::Document& e) { return e.is_string(); })) {
    for (const json::Document& element : found->elements()) out.push_back(element.string());
  } else {
    throw refused("stop", "must be a string or an array of strings");
  }
  for (const std::string& stop : out) {
    if (stop.empty() || stop.size() > PITH_STREAM_MAX_STOP_BYTES || stop.find('\0') != std::string::npos)
      throw refused("stop", fmt::format("strings are of 1 .. {} bytes, none of them zero", PITH_STREAM_MAX_STOP_BYTES));
  }
  return out;
}

SamplingOptions read_sampling(const Fields& fields, const ServedModel& served) {
  SamplingOptions out = served.sampling;
  if (const auto value = fields.number("temperature", 0, 2)) out.temperature = float(*value);
  if (const auto value = fields.number("top_p", 0, 1, true)) out.top_p = float(*value);
  if (const auto value = fields.number("min_p", 0, 1)) out.min_p = float(*value);
  if (const auto value = fields.number("repeat_penalty", 0, 100, true)) out.repeat_penalty = float(*value);
  if (const auto value = fields.natural("top_k", 0, kAll - 1)) out.top_k = *value;
  if (const auto value = fields.integer("seed")) out.seed = uint64_t(*value);
  else if (!out.has_seed) out.seed = uint64_t(std::random_device()()) << 32 | std::random_device()();
  const std::vector<std::string> stops = read_stops(fields);
  out.stops.insert(out.stops.end(), stops.begin(), stops.end());
  if (out.stops.size() > PITH_STREAM_MAX_STOPS)
    throw refused("stop", fmt::format("{} strings at most, {} of them the template's", PITH_STREAM_MAX_STOPS,
                                      out.stops.size() - stops.size()));
  try {
    (void)out.resolve();
    (void)Sampler(1, out.resolve());
  } catch (const std::exception& error) {
    throw ApiError(400, error.what());  // names the option as fields are called
  }
  return out;
}

void check_prompt(const CompletionRequest& request, const ServedModel& served, const char* field) {
  if (request.prompt.empty()) throw refused(field, "has no tokens");
  if (request.prompt.size() > served.context)
    throw ApiError(
        400,
        fmt::format("field {}: {} tokens, and a context of {}; ask less, or start the server with a longer --context",
                    field, request.prompt.size(), served.context),
        field, "context_length_exceeded");
}

// What both kinds of requests say.
CompletionRequest read_common(const Fields& fields, const ServedModel& served, bool is_chat) {
  (void)fields.string("model");  // there is one
  refuse_unsupported(fields);
  CompletionRequest out;
  out.is_chat = is_chat;
  out.sampling = read_sampling(fields, served);
  out.grammar = read_grammar(fields);
  out.streams = fields.boolean("stream").value_or(false);
  if (const json::Document* options = fields.find("stream_options")) {
    if (!out.streams) throw refused("stream_options", "is only for streams: \"stream\": true");
    out.includes_usage = Fields(*options, "stream_options.").boolean("include_usage").value_or(false);
  }
  const auto most = fields.natural("max_tokens", 1, kAll);
  out.max_tokens =
      fields.natural("max_completion_tokens", 1, kAll).value_or(most.value_or(is_chat ? kAll : kTextTokens));
  return out;
}

// A text, or parts that are texts.
std::string read_content(const Fields& message) {
  const json::Document* content = message.find("content");
  if (content == nullptr) throw refused(message.name_of("content"), "must be a string or an array of text parts");
  if (content->is_string()) return content->string();
  if (!content->is_array()) throw refused(message.name_of("content"), "must be a string or an array of text parts");
  std::string out;
  for (size_t i = 0; i < content->elements().size(); ++i) {
    const Fields part(content->elements()[i], fmt::format("{}[{}].", message.name_of("content"), i));
    const std::string type = part.string("type").value_or("");
    if (type != "text") throw refused(part.name_of("type"), json::quoted(type) + " is not supported; \"text\" is");
    const auto text = part.string("text");
    if (!text) throw refused(part.name_of("text"), "is missing");
    out += *text;
  }
  return out;
}

pith_role read_role(const Fields& message) {
  const std::string role = message.string("role").value_or("");
  if (role == "system" || role == "developer") return PITH_ROLE_SYSTEM;
  if (role == "user") return PITH_ROLE_USER;
  if (role == "assistant") return PITH_ROLE_ASSISTANT;
  throw refused(message.name_of("role"),
                json::quoted(role) + " is not supported; \"system\", \"user\" and \"assistant\" are");
}

std::vector<Message> read_messages(const Fields& fields) {
  const json::Document& list = fields.at("messages");
  if (!list.is_array() || list.elements().empty())
    throw refused("messages", "must be an array of messages, one at least");
  std::vector<Message> out;
  for (size_t i = 0; i < list.elements().size(); ++i) {
    const Fields message(list.elements()[i], fmt::format("messages[{}].", i));
    for (const char* name : {"tool_calls", "function_call", "audio"}) {
      const json::Document* found = message.find(name);
      if (found != nullptr && !is_empty(*found)) throw refused(message.name_of(name), "is not supported");
    }
    const pith_role role = read_role(message);
    out.push_back({role, read_content(message)});
  }
  return out;
}

bool wants_thoughts(const Fields& fields, const ServedModel& served) {
  const json::Document* arguments = fields.find("chat_template_kwargs");
  if (arguments == nullptr) return served.thinks;
  return Fields(*arguments, "chat_template_kwargs.").boolean("enable_thinking").value_or(served.thinks);
}

}  // namespace

CompletionRequest read_chat_request(const json::Document& body, const ServedModel& served) {
  if (served.chat == nullptr) throw ApiError(400, served.why_no_chat, "", "no_chat_template");
  const Fields fields(body);
  CompletionRequest out = read_common(fields, served, true);
  out.has_scores = fields.boolean("logprobs").value_or(false);
  if (const auto n = fields.natural("top_logprobs", 0, kMostLikeliest)) {
    if (!out.has_scores) throw refused("top_logprobs", "is only for \"logprobs\": true");
    out.n_likeliest = *n;
  }
  const uint32_t flags = PITH_CHAT_ANSWER | (wants_thoughts(fields, served) ? 0u : uint32_t(PITH_CHAT_NO_THOUGHT));
  const std::vector<Message> messages = read_messages(fields);
  try {
    out.prompt = served.chat->encode(messages, flags);
  } catch (const Error& error) {
    throw refused("messages", error.what());
  }
  check_prompt(out, served, "messages");
  return out;
}

CompletionRequest read_text_request(const json::Document& body, const ServedModel& served) {
  const Fields fields(body);
  CompletionRequest out = read_common(fields, served, false);
  if (const auto n = fields.natural("logprobs", 0, kMostLikeliest)) {
    out.has_scores = true;
    out.n_likeliest = *n;
  }
  std::vector<std::vector<int32_t>> prompts = read_inputs(fields, "prompt", served);
  if (prompts.size() != 1) throw refused("prompt", "one text per request is supported");
  out.prompt = std::move(prompts[0]);
  check_prompt(out, served, "prompt");
  return out;
}

}  // namespace pith::server
