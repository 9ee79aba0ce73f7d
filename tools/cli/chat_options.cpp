#include "chat_options.h"

#include <ctime>
#include <string_view>

namespace pith::cli {
namespace {

// "07 Mar 2031", in English whatever the locale.
std::string today() {
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  const std::tm* local = std::localtime(&now);  // no other thread asks for times
  if (local == nullptr) return {};
  const std::string day = std::to_string(local->tm_mday);
  return (day.size() < 2 ? "0" : "") + day + " " + kMonths[local->tm_mon] + " " + std::to_string(1900 + local->tm_year);
}

// The library's sentence in the words of the command.
std::string with(std::string text, std::string_view old, std::string_view name) {
  const size_t at = text.find(old);
  return at == std::string::npos ? text : text.replace(at, old.size(), name);
}

std::vector<Message> begun(const ChatTextOptions& options) {
  std::vector<Message> out;
  if (options.system) out.push_back({PITH_ROLE_SYSTEM, *options.system});
  return out;
}

uint32_t answer_flags(const ChatTextOptions& options) {
  return PITH_CHAT_ANSWER | (options.thinks ? 0u : uint32_t(PITH_CHAT_NO_THOUGHT));
}

}  // namespace

Chat make_chat(const Model& model, const Tokenizer& tokenizer, const ChatTextOptions& options) {
  const std::string date = today();
  pith_chat_options resolved = chat_options();
  resolved.template_name = options.template_name.empty() ? nullptr : options.template_name.c_str();
  resolved.date = date.c_str();
  try {
    return Chat(model, tokenizer, resolved);
  } catch (const Error& error) {
    const std::string message = error.what();
    throw std::runtime_error(with(with(message, "option template_name", "option --template"), "choose a template",
                                  "choose one with --template"));
  }
}

std::vector<std::string> all_stops(const Chat& chat, const SamplingOptions& sampling) {
  std::vector<std::string> out = chat.stops();
  out.insert(out.end(), sampling.stops.begin(), sampling.stops.end());
  return out;
}

std::vector<int32_t> lead(const Chat& chat, const ChatTextOptions& options) { return chat.encode(begun(options), 0); }

std::vector<int32_t> first_turn(const Chat& chat, const ChatTextOptions& options, const std::string& text) {
  std::vector<Message> messages = begun(options);
  messages.push_back({PITH_ROLE_USER, text});
  return chat.encode(messages, answer_flags(options));
}

std::vector<int32_t> next_turn(const Chat& chat, const ChatTextOptions& options, const std::string& text) {
  return chat.encode(Message{PITH_ROLE_USER, text}, answer_flags(options) | PITH_CHAT_AFTER_ANSWER);
}

}  // namespace pith::cli
