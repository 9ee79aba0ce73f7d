// How far a prompt is, on a terminal, once it takes longer than a moment.
#ifndef PITH_CLI_PROMPT_PROGRESS_H
#define PITH_CLI_PROMPT_PROGRESS_H

#include <cstddef>
#include <cstdint>

#include "pith/pith.hpp"

namespace pith::cli {

class PromptProgress {
 public:
  // Sets the callback of the options: stay alive while their session evaluates.
  explicit PromptProgress(pith_session_options* options);
  PromptProgress(const PromptProgress&) = delete;
  PromptProgress& operator=(const PromptProgress&) = delete;
  void begin(size_t n_tokens);
  void end();

 private:
  void report(uint64_t done, uint64_t total);

  bool is_shown_, is_drawn_ = false;
  double n_tokens_ = 0, start_ = 0, shown_at_ = 0;
};

}  // namespace pith::cli

#endif
