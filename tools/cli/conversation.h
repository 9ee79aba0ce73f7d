// A conversation with a model, held by one session: a turn costs its own tokens alone.
#ifndef PITH_CLI_CONVERSATION_H
#define PITH_CLI_CONVERSATION_H

#include <functional>
#include <string>

#include "chat_options.h"
#include "commands.h"
#include "pith/pith.hpp"
#include "prompt_progress.h"
#include "speculation.h"

namespace pith::cli {

class Conversation {
 public:
  // What stands before the first question is pinned: it stays when the cache is full.
  explicit Conversation(const ChatOptions& options);
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  std::string_view template_name() const { return chat_.template_name(); }

  // Hands the answer out piece by piece until `show` says no. Ctrl-C ends it: what was shown of it is part of the
  // conversation; a question that it came before is none.
  using Show = std::function<bool(const std::string& text)>;
  void ask(const std::string& text, const Show& show);

  uint64_t n_tokens() const { return session_.position(); }  // of all that was said

  void reset();
  void save(const std::string& path);
  // A state that is refused leaves the conversation as it was.
  void load(const std::string& path);

 private:
  bool read(const std::vector<int32_t>& tokens);
  void answer(const Show& show);

  const ChatOptions& options_;
  Model model_;
  Tokenizer tokenizer_;
  Chat chat_;
  pith_session_options resolved_;
  PromptProgress progress_;
  Session session_;
  Speculation text_;
  Sampler sampler_;
  Constraint constraint_;
};

}  // namespace pith::cli

#endif
