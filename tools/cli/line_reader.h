// Lines that a person types: edited and remembered on a terminal, read as they come from anything else.
#ifndef PITH_CLI_LINE_READER_H
#define PITH_CLI_LINE_READER_H

#include <memory>
#include <optional>
#include <string>

namespace pith::cli {

class LineReader {
 public:
  // The history is chat_history in pith's folder of $XDG_STATE_HOME, or of ~/.local/state.
  LineReader();
  ~LineReader();  // writes the history
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool is_terminal() const;

  // One line without its end; nothing at the end of the input.
  std::optional<std::string> read(const char* prompt);
  bool was_dropped() const;  // that line, by Ctrl-C: it is empty

 private:
  class Terminal;
  std::unique_ptr<Terminal> terminal_;
};

// What a person says at once, until Ctrl-C makes them begin anew: a line; lines that end in a backslash with the one after them; all between two """.
std::optional<std::string> read_message(LineReader* reader);

}  // namespace pith::cli

#endif
