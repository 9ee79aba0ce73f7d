// Ctrl-C while a session evaluates: ends the evaluation and not the program.
#ifndef PITH_CLI_CTRL_C_H
#define PITH_CLI_CTRL_C_H

#include <span>

#include "pith/pith.hpp"

namespace pith::cli {

// While it lives, Ctrl-C ends the evaluation that runs, and those that would follow until it is forgotten.
class CtrlC {
 public:
  explicit CtrlC(const Session& session);
  ~CtrlC();
  CtrlC(const CtrlC&) = delete;
  CtrlC& operator=(const CtrlC&) = delete;

  static bool was_pressed();
  static void forget();
  // Within a callback of an evaluation: ends it if Ctrl-C came before it began.
  static void pass_on();

 private:
  void (*before_)(int);  // what Ctrl-C did
};

// False: Ctrl-C came before the last of the tokens was in.
bool eval(Session* session, std::span<const int32_t> tokens);

}  // namespace pith::cli

#endif
