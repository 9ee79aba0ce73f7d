#include "endings.h"

#include <csignal>
#include <initializer_list>

namespace pith::internal {

// SIGBREAK: Ctrl-Break, and a console that is closed.
void handle_endings(void (*handler)(int signal)) {
  for (const int signal : {SIGINT, SIGTERM, SIGBREAK}) {
    if (const auto before = std::signal(signal, handler); before != SIG_DFL) std::signal(signal, before);
  }
}

void ignore_reported_signals() {}  // there are none

}  // namespace pith::internal
