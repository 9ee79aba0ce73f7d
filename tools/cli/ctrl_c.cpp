#include "ctrl_c.h"

#include <csignal>

namespace pith::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;
pith_session* volatile running = nullptr;

void interrupt(int) {
  std::signal(SIGINT, interrupt);  // Windows forgets it with every call
  interrupted = 1;
  pith_session_cancel(running);
}

}  // namespace

CtrlC::CtrlC(const Session& session) {
  running = session.get();
  before_ = std::signal(SIGINT, interrupt);
}

CtrlC::~CtrlC() {
  std::signal(SIGINT, before_);
  running = nullptr;
}

bool CtrlC::was_pressed() { return interrupted != 0; }

void CtrlC::forget() { interrupted = 0; }

void CtrlC::pass_on() {
  if (interrupted != 0 && running != nullptr) pith_session_cancel(running);
}

bool eval(Session* session, std::span<const int32_t> tokens) {
  const Result<void> result = session->try_eval(tokens);
  if (!result && result.error().status() != PITH_E_CANCELLED) result.value();
  return result.has_value();
}

}  // namespace pith::cli
