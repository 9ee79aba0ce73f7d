#include "endings.h"

#include <signal.h>

#include <initializer_list>

namespace pith::internal {

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

}  // namespace pith::internal
