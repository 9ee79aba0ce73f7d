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

// For a program that ends in its own time: the signals are held back, in this thread and those that it makes from then
// on, and asked for, until they are let go. One caller at a time.
void hold_endings();
void wait_for_ending();
bool has_ending_come();  // since the last one that was waited for, or seen here
void let_endings_go();

}  // namespace pith::internal

#endif
