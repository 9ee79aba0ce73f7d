#include "id_file.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include <fmt/core.h>

#include "options.h"

namespace pith::cli {
namespace {

constexpr std::string_view kBlanks = " \t\r\n\v\f";

// What stands where an id should, fit for a line on a terminal.
std::string shown(std::string_view word) {
  constexpr size_t kMost = 32;
  std::string out(word.substr(0, kMost));
  for (char& c : out) c = c >= ' ' && c <= '~' ? c : '?';
  return word.size() > kMost ? out + "..." : out;
}

int32_t parse_id(std::string_view word, uint32_t vocab_size, const std::string& place) {
  int64_t id = 0;
  const auto [end, reason] = std::from_chars(word.data(), word.data() + word.size(), id);
  const bool is_number = end == word.data() + word.size() && reason != std::errc::invalid_argument;
  if (!is_number) throw std::runtime_error(fmt::format("{}: \"{}\" is no token id", place, shown(word)));
  if (reason != std::errc() || id < 0 || id >= int64_t(vocab_size))
    throw std::runtime_error(fmt::format("{}: {} is not within 0 .. {}", place, shown(word), vocab_size - 1));
  return int32_t(id);
}

}  // namespace

std::vector<int32_t> parse_ids(std::string_view text, uint32_t vocab_size) {
  std::vector<int32_t> ids;
  size_t line = 1;
  bool needs_id = false;  // after a comma
  const auto place = [&] { return fmt::format("id {} in line {}", ids.size() + 1, line); };
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (kBlanks.find(c) != std::string_view::npos) {
      line += c == '\n';
      ++at;
    } else if (c == ',') {
      if (needs_id || ids.empty()) throw std::runtime_error(place() + ": empty, before a comma");
      needs_id = true;
      ++at;
    } else {
      const size_t end = std::min(text.find_first_of(" \t\r\n\v\f,", at), text.size());
      ids.push_back(parse_id(text.substr(at, end - at), vocab_size, place()));
      needs_id = false;
      at = end;
    }
  }
  if (ids.empty()) throw std::runtime_error("holds no token id");
  return ids;
}

std::vector<int32_t> read_ids(const std::string& path, uint32_t vocab_size) {
  const std::string text = read_file(path);
  try {
    return parse_ids(text, vocab_size);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("file {}: {}", path, error.what()));
  }
}

}  // namespace pith::cli
