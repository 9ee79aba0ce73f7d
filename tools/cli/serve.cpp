// pith serve: answers by HTTP.
#include "server.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <optional>

#include <fmt/chrono.h>

#include "chat_options.h"
#include "commands.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

// A prompt's chunk is the longest that others wait for.
constexpr uint32_t kChunk = 128;

std::string name_of(const ServeOptions& options) {
  if (!options.name.empty()) return options.name;
  return options.model.path.empty() ? "built-in" : std::filesystem::path(options.model.path).stem().string();
}

// Seconds since 1970: when the file was written; of the built-in model, now.
int64_t written_at(const std::string& path) {
  using namespace std::chrono;
  std::error_code failed;
  const auto time = path.empty() ? file_clock::now() : std::filesystem::last_write_time(path, failed);
  return duration_cast<std::chrono::seconds>(file_clock::to_sys(time).time_since_epoch()).count();
}

// With a time, for a log that lies about for long.
std::string stamped(const std::string& line) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ} {}\n", fmt::gmtime(std::time(nullptr)), escaped(line));
}

}  // namespace

void serve(ServeOptions options) {
  const Model model = options.model.load_ahead();
  const Tokenizer tokenizer(model);
  const TokenTrie trie(tokenizer);
  std::optional<Chat> chat;
  std::string why_no_chat;
  ChatTextOptions texts;
  texts.template_name = options.template_name;
  try {
    chat.emplace(make_chat(model, tokenizer, texts));
  } catch (const std::exception& error) {  // texts can still be completed
    if (!options.template_name.empty()) throw;
    why_no_chat = error.what();
  }
  if (options.session.chunk == 0) options.session.chunk = kChunk;
  const pith_session_options session = options.session.resolve_for(model);
  (void)options.sampling.resolve();  // throws for what is no option
  if (chat) options.sampling.stops = chat->stops();
  const server::ServedModel served = {name_of(options),
                                      written_at(options.model.path),
                                      model,
                                      tokenizer,
                                      trie,
                                      chat ? &*chat : nullptr,
                                      why_no_chat,
                                      options.thinks,
                                      session.capacity,
                                      options.sampling,
                                      options.pooling == "last" ? Pooling::last : Pooling::mean};
  server::run(options.server, served, session, tell_text, [](const std::string& line) { tell_text(stamped(line)); });
}

}  // namespace pith::cli
