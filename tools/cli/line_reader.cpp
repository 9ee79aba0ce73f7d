#include "line_reader.h"

#include <clocale>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "descriptors.h"
#include "standard_streams.h"

#ifdef PITH_LIBEDIT
#include <histedit.h>
#endif

namespace pith::cli {
namespace {

constexpr const char *kPrompt = "> ", *kMore = "... ", *kQuotes = "\"\"\"";

}  // namespace

#ifdef PITH_LIBEDIT

namespace {

std::string history_path() {
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  const bool has_state = state != nullptr && state[0] == '/';
  if (!has_state && home == nullptr) return {};
  const std::filesystem::path folder =
      (has_state ? std::filesystem::path(state) : std::filesystem::path(home) / ".local" / "state") / "pith";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? std::string() : (folder / "chat_history").string();
}

}  // namespace

class LineReader::Terminal {
 public:
  Terminal() : path_(history_path()) {
    // Characters beyond ASCII are edited as such in a locale of UTF-8 alone.
    if (std::setlocale(LC_CTYPE, "") == nullptr || std::strcmp(std::setlocale(LC_CTYPE, nullptr), "C") == 0)
      std::setlocale(LC_CTYPE, "C.UTF-8");
    HistEvent event;
    history_ = history_init();
    history(history_, &event, H_SETSIZE, kHistoryLines);
    history(history_, &event, H_SETUNIQUE, 1);
    if (!path_.empty()) history(history_, &event, H_LOAD, path_.c_str());
    edit_ = el_init("pith", stdin, stdout, stderr);
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(
        edit_, EL_PROMPT, +[](EditLine* edit) { return const_cast<char*>(of(edit)->prompt_); });
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_set(edit_, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
    el_set(edit_, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
    el_set(edit_, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
    // Ctrl-C comes as a character while a line is edited.
    el_set(
        edit_, EL_ADDFN, "drop-line", "Drop the line", +[](EditLine* edit, int) -> unsigned char {
          of(edit)->is_dropped_ = true;
          return CC_NEWLINE;
        });
    el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);
    el_set(edit_, EL_BIND, "^C", "drop-line", nullptr);
  }
  ~Terminal() {
    HistEvent event;
    if (!path_.empty()) history(history_, &event, H_SAVE, path_.c_str());
    el_end(edit_);
    history_end(history_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  std::optional<std::string> read(const char* prompt) {
    prompt_ = prompt;
    is_dropped_ = false;
    int n = 0;
    const char* line = el_gets(edit_, &n);
    if (is_dropped_) {
      tell("^C\n");
      return "";
    }
    if (line == nullptr || n <= 0) return std::nullopt;
    std::string text(line, size_t(n));
    HistEvent event;
    if (text != "\n") history(history_, &event, H_ENTER, text.c_str());
    if (text.back() == '\n') text.pop_back();
    return text;
  }
  bool was_dropped() const { return is_dropped_; }

 private:
  static constexpr int kHistoryLines = 1000;
  static Terminal* of(EditLine* edit) {
    void* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    return static_cast<Terminal*>(self);
  }

  std::string path_;
  History* history_;
  EditLine* edit_;
  const char* prompt_ = "";
  bool is_dropped_ = false;
};

#else

class LineReader::Terminal {
 public:
  std::optional<std::string> read(const char* prompt) {
    tell("{}", prompt);
    return read_input_line();
  }
  bool was_dropped() const { return false; }
};

#endif

LineReader::LineReader() {
  if (internal::is_terminal(internal::kStandardInput) && internal::is_terminal(internal::kStandardOutput))
    terminal_ = std::make_unique<Terminal>();
}

LineReader::~LineReader() = default;

bool LineReader::is_terminal() const { return terminal_ != nullptr; }

std::optional<std::string> LineReader::read(const char* prompt) {
  if (terminal_ != nullptr) return terminal_->read(prompt);
  return read_input_line();
}

bool LineReader::was_dropped() const { return terminal_ != nullptr && terminal_->was_dropped(); }

namespace {

// The rest of a message after """; nothing if it was dropped.
std::optional<std::string> read_quoted(LineReader* reader, std::string text) {
  while (!text.ends_with(kQuotes)) {
    const std::optional<std::string> line = reader->read(kMore);
    if (!line) return text;
    if (reader->was_dropped()) return std::nullopt;
    text += (text.empty() ? "" : "\n") + *line;
  }
  return text.substr(0, text.size() - std::strlen(kQuotes));
}

// The same of a message whose first line may end in a backslash.
std::optional<std::string> read_continued(LineReader* reader, std::string text) {
  while (text.ends_with('\\')) {
    text.back() = '\n';
    const std::optional<std::string> line = reader->read(kMore);
    if (!line) return text;
    if (reader->was_dropped()) return std::nullopt;
    text += *line;
  }
  return text;
}

}  // namespace

std::optional<std::string> read_message(LineReader* reader) {
  while (true) {
    const std::optional<std::string> line = reader->read(kPrompt);
    if (!line) return line;
    if (reader->was_dropped()) continue;
    const bool is_quoted = line->starts_with(kQuotes);
    std::optional<std::string> text =
        is_quoted ? read_quoted(reader, line->substr(std::strlen(kQuotes))) : read_continued(reader, *line);
    if (text) return text;
  }
}

}  // namespace pith::cli
