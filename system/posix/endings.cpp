#include "endings.h"

#include <signal.h>

#include <algorithm>
#include <initializer_list>
#include <iterator>

namespace pith::internal {
namespace {

constexpr int kHeld[] = {SIGINT, SIGTERM};
sigset_t held, before_hold;

}  // namespace

void handle_endings(void (*handler)(int signal)) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) ::signal(signal, handler);
  }
}

void ignore_reported_signals() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
}

void hold_endings() {
  sigemptyset(&held);
  for (const int signal : kHeld) sigaddset(&held, signal);
  pthread_sigmask(SIG_BLOCK, &held, &before_hold);
}

void wait_for_ending() {
  int signal = 0;
  sigwait(&held, &signal);
}

// macOS has no sigtimedwait.
bool has_ending_come() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  const bool has_come =
      std::any_of(std::begin(kHeld), std::end(kHeld), [&](int signal) { return sigismember(&pending, signal) == 1; });
  if (has_come) wait_for_ending();
  return has_come;
}

void let_endings_go() { pthread_sigmask(SIG_SETMASK, &before_hold, nullptr); }

}  // namespace pith::internal
