// pith chat: talk to a model, on a terminal or through pipes.
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include <fmt/core.h>

#include "commands.h"
#include "conversation.h"
#include "line_reader.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

constexpr const char* kHelp =
    "/reset         forget the conversation\n"
    "/save FILE     write it to a file\n"
    "/load FILE     go on from such a file\n"
    "/help          this\n"
    "A line that ends in \\ goes on in the next one, and so does all between two \"\"\".\n"
    "Ctrl-C stops an answer, and drops a line that is being typed. Ctrl-D ends the chat.\n";

bool write(const std::string& text) {
  write_output(text);
  flush_output();
  return is_output_open();
}

// What stands behind a command's name, or nothing.
std::string argument_of(const std::string& line, const std::string& name) {
  const size_t first = line.find_first_not_of(' ', name.size());
  return first == std::string::npos ? std::string() : line.substr(first, line.find_last_not_of(' ') + 1 - first);
}

// Returns what a person is told about it.
std::string obey(const std::string& line, Conversation* conversation) {
  const std::string name = line.substr(0, line.find(' ')), path = argument_of(line, name);
  if (name == "/help" && path.empty()) return kHelp;
  if (name == "/reset" && path.empty()) {
    conversation->reset();
    return "a new conversation\n";
  }
  if (name == "/save" && !path.empty()) {
    conversation->save(path);
    return fmt::format("{}: {} tokens written\n", path, conversation->n_tokens());
  }
  if (name == "/load" && !path.empty()) {
    conversation->load(path);
    return fmt::format("{}: {} tokens read, go on\n", path, conversation->n_tokens());
  }
  throw std::runtime_error(fmt::format("\"{}\" is no command; /help lists them", line));
}

}  // namespace

void chat(const ChatOptions& options) {
  if (options.model.path.empty() && options.chat.template_name.empty())
    throw std::runtime_error("the built-in model tells tales and answers no questions: pith chat MODEL");
  Conversation conversation(options);
  LineReader reader;
  if (reader.is_terminal()) {
    std::signal(SIGINT, SIG_IGN);  // one that comes when an answer has just ended
    tell("{}, template {}. /help lists what you can type.\n", options.model.name(), conversation.template_name());
  }
  bool is_open = true;
  while (is_open) {
    const std::optional<std::string> line = read_message(&reader);
    if (!line) break;
    if (line->find_first_not_of(" \t\r\n") == std::string::npos) continue;
    try {
      if (line->starts_with('/') && line->find('\n') == std::string::npos) {
        const std::string told = obey(*line, &conversation);
        if (reader.is_terminal() || told == kHelp) tell("{}", told);
        continue;
      }
      conversation.ask(*line, [&](const std::string& text) { return is_open = write(text); });
      is_open = is_open && write("\n");
    } catch (const std::exception& error) {  // of one turn: the conversation goes on
      tell("pith: {}\n", error.what());
    }
  }
  if (reader.is_terminal()) tell("\n");
}

}  // namespace pith::cli
