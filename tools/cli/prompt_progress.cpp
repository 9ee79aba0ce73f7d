#include "prompt_progress.h"

#include <cstdio>
#include <string>

#include <fmt/core.h>

#include "ctrl_c.h"
#include "descriptors.h"
#include "options.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

constexpr double kMoment = 0.5, kRefresh = 0.1;  // seconds
constexpr size_t kWidth = 30;

}  // namespace

PromptProgress::PromptProgress(pith_session_options* options)
    : is_shown_(internal::is_terminal(internal::kStandardError)) {
  options->progress_context = this;
  options->progress = [](void* self, uint64_t done, uint64_t total) {
    static_cast<PromptProgress*>(self)->report(done, total);
  };
}

void PromptProgress::begin(size_t n_tokens) {
  n_tokens_ = double(n_tokens);
  start_ = shown_at_ = seconds();
}

void PromptProgress::end() {
  if (is_drawn_) tell("\r\033[K");
  is_drawn_ = false;
}

void PromptProgress::report(uint64_t done, uint64_t total) {
  CtrlC::pass_on();
  const double now = seconds(), share = double(done) / double(total);
  if (!is_shown_ || now - start_ < kMoment || now - shown_at_ < kRefresh) return;
  shown_at_ = now;
  is_drawn_ = true;
  const size_t filled = size_t(share * kWidth);
  tell("\rprompt [{}{}] {:3.0f} %, {:.0f} tokens/s\033[K", std::string(filled, '#'), std::string(kWidth - filled, ' '),
       100 * share, share * n_tokens_ / (now - start_));
}

}  // namespace pith::cli
