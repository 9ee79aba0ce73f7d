// What commands that talk to a model share: the options of the template, and turns as tokens.
#ifndef PITH_CLI_CHAT_OPTIONS_H
#define PITH_CLI_CHAT_OPTIONS_H

#include <optional>
#include <string>
#include <vector>

#include "options.h"
#include "pith/pith.hpp"

namespace pith::cli {

struct ChatTextOptions {
  std::optional<std::string> system;
  std::string template_name;  // empty: the file's
  bool thinks = true;
};

// Today's date is that of the day it is made.
Chat make_chat(const Model& model, const Tokenizer& tokenizer, const ChatTextOptions& options);

// Of the template where the vocabulary lacks its marks, and the user's.
std::vector<std::string> all_stops(const Chat& chat, const SamplingOptions& sampling);

// What a conversation begins with, before anybody has spoken.
std::vector<int32_t> lead(const Chat& chat, const ChatTextOptions& options);

// Tokens up to where the model is to speak: of a conversation that begins, and of one that the session holds up to an
// answer of the model.
std::vector<int32_t> first_turn(const Chat& chat, const ChatTextOptions& options, const std::string& text);
std::vector<int32_t> next_turn(const Chat& chat, const ChatTextOptions& options, const std::string& text);

}  // namespace pith::cli

#endif
