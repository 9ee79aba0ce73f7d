// The one way to standard input, standard output and standard error. What cannot be read or written is said, and the command fails; the last is for
// people, and trouble there changes nothing.
#ifndef PITH_CLI_STANDARD_STREAMS_H
#define PITH_CLI_STANDARD_STREAMS_H

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

namespace pith::cli {

// All that is left of standard input. Throws std::runtime_error.
std::string read_input();
// Its next line, without its end; nothing where it ends or cannot be read.
std::optional<std::string> read_input_line();

// Writes text, at the latest with the next flush_output. Throws std::runtime_error if it can't be written, unless the reader has gone: it has
// what it wanted, and what comes after is dropped.
void write_output(std::string_view text);
void flush_output();

// Whether somebody may still read it.
bool is_output_open();

template <typename... Arguments>
void print(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  write_output(fmt::format(format, std::forward<Arguments>(arguments)...));
}

// To standard error, at once.
void tell_text(std::string_view text);
template <typename... Arguments>
void tell(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  tell_text(fmt::format(format, std::forward<Arguments>(arguments)...));
}

// Text of a stranger, for a terminal: control characters as \x1b, and so are bytes that are no UTF-8; what turns the direction of text as
// \u202e.
std::string escaped(std::string_view text);

}  // namespace pith::cli

#endif
