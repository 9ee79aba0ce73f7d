#include "endings.h"

#include <windows.h>

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace pith::internal {
namespace {

HANDLE ending_has_come = nullptr;  // an event, which whoever has waited for it takes back
std::atomic<bool> is_holding{false};

BOOL WINAPI take_note(DWORD event) {
  if (!is_holding) return FALSE;
  if (event == CTRL_LOGOFF_EVENT) return TRUE;  // services hear of everybody's
  SetEvent(ending_has_come);
  // Of a console that is closed, the system ends the process when this returns, and in some seconds in any case.
  if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) Sleep(INFINITE);
  return TRUE;
}

}  // namespace

// SIGBREAK: Ctrl-Break, and a console that is closed.
void handle_endings(void (*handler)(int signal)) {
  for (const int signal : {SIGINT, SIGTERM, SIGBREAK}) {
    if (const auto before = std::signal(signal, handler); before != SIG_DFL) std::signal(signal, before);
  }
}

void ignore_reported_signals() {}  // there are none

void hold_endings() {
  if (ending_has_come == nullptr) {
    ending_has_come = CreateEventW(nullptr, FALSE, FALSE, nullptr);
    SetConsoleCtrlHandler(take_note, TRUE);
  }
  is_holding = true;
}

void wait_for_ending() { WaitForSingleObject(ending_has_come, INFINITE); }
bool has_ending_come() { return WaitForSingleObject(ending_has_come, 0) == WAIT_OBJECT_0; }
// The handler stays: the system would wait with its removal for one that sleeps.
void let_endings_go() { is_holding = false; }

}  // namespace pith::internal
