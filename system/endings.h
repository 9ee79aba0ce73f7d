// How a program is told to end.
#ifndef PITH_SYSTEM_ENDINGS_H
#define PITH_SYSTEM_ENDINGS_H

namespace pith::internal {

// Handles the signals that people and systems end a program by: Ctrl-C, a closed terminal, a polite kill. One that
// somebody ignores or handles already stays so: nohup, Ctrl-C of a text.
void handle_endings(void (*handler)(int signal));

// Signals whose cause the call that failed reports as well are ignored: a closed pipe is seen where text is written, and
// so is a file that must not grow.
void ignore_reported_signals();

}  // namespace pith::internal

#endif
