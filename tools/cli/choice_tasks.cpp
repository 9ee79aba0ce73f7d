#include "choice_tasks.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include <fmt/core.h>

#include "document.h"

namespace pith::cli {
namespace {

struct Names {
  const char *context, *choices, *answer, *between;
};
constexpr Names kOwn{"context", "choices", "answer", ""}, kHellaSwag{"ctx", "endings", "label", " "};

[[noreturn]] void refuse(const char* field, const std::string& why) {
  throw std::runtime_error(fmt::format("field {}: {}", field, why));
}

const json::Document& field_of(const json::Document& task, const char* name) {
  const json::Document* found = task.find(name);
  if (found == nullptr) refuse(name, "missing");
  return *found;
}

std::string text_of(const json::Document& value, const char* name, const std::string& what) {
  if (!value.is_string()) refuse(name, what + " is no text");
  return value.string();
}

size_t answer_of(const json::Document& value, const char* name, size_t n_choices) {
  uint64_t out = value.is_natural() ? value.natural() : n_choices;
  if (value.is_string()) {
    const std::string& digits = value.string();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    if (error != std::errc() || end != digits.data() + digits.size()) out = n_choices;
  }
  if (out >= n_choices)
    refuse(name, fmt::format("{} is not within 0 .. {}, the places of the choices", value.dump(), n_choices - 1));
  return size_t(out);
}

ChoiceTask task_of(std::string_view line) {
  const json::Document parsed = json::Document::parse(line);
  if (!parsed.is_object()) throw std::runtime_error("no object of JSON");
  const Names& names =
      parsed.find(kOwn.context) == nullptr && parsed.find(kHellaSwag.context) != nullptr ? kHellaSwag : kOwn;
  ChoiceTask out{};
  out.between = names.between;
  out.context = text_of(field_of(parsed, names.context), names.context, "it");
  const json::Document& choices = field_of(parsed, names.choices);
  if (!choices.is_array() || choices.elements().size() < 2) refuse(names.choices, "no array of two or more texts");
  for (const json::Document& choice : choices.elements()) {
    const std::string what = fmt::format("choice {}", out.choices.size());
    out.choices.push_back(text_of(choice, names.choices, what));
    if (out.choices.back().empty()) refuse(names.choices, what + " is empty");
  }
  out.answer = answer_of(field_of(parsed, names.answer), names.answer, out.choices.size());
  return out;
}

}  // namespace

std::vector<ChoiceTask> parse_choice_tasks(std::string_view text) {
  std::vector<ChoiceTask> out;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t length = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      out.push_back(task_of(line));
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(fmt::format("line {}: {}", number, error.what()));
    }
    out.back().line = number;
  }
  if (out.empty()) throw std::runtime_error("no task in it");
  return out;
}

}  // namespace pith::cli
