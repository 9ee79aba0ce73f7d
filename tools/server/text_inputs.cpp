#include "text_inputs.h"

#include <fmt/core.h>

#include "api_error.h"
#include "drawing.h"

namespace pith::server {
namespace {

std::vector<int32_t> read_token_ids(const json::Document& list, const ServedModel& served, const std::string& field) {
  const uint32_t vocab_size = served.model.info().vocab_size;
  std::vector<int32_t> out;
  for (const json::Document& element : list.elements()) {
    if (!element.is_natural() || element.natural() >= vocab_size)
      throw refused(field, fmt::format("token ids are integers within 0 .. {}", vocab_size - 1));
    out.push_back(int32_t(element.natural()));
  }
  return out;
}

std::vector<int32_t> read_text(const std::string& text, const ServedModel& served, const std::string& field) {
  try {
    return tokens_of_beginning(served.model, served.tokenizer, text);
  } catch (const Error& error) {
    throw refused(field, error.what());
  }
}

}  // namespace

std::vector<std::vector<int32_t>> read_inputs(const Fields& fields, const char* name, const ServedModel& served) {
  const json::Document& input = fields.at(name);
  if (input.is_string()) return {read_text(input.string(), served, name)};
  const auto refuse = [&] { return refused(name, "must be a string, an array of strings, or token ids"); };
  if (!input.is_array() || input.elements().empty()) throw refuse();
  if (input.elements()[0].is_integer()) return {read_token_ids(input, served, name)};
  std::vector<std::vector<int32_t>> out;
  for (size_t i = 0; i < input.elements().size(); ++i) {
    const json::Document& element = input.elements()[i];
    const std::string field = fmt::format("{}[{}]", name, i);
    if (element.is_string()) out.push_back(read_text(element.string(), served, field));
    else if (element.is_array()) out.push_back(read_token_ids(element, served, field));
    else throw refuse();
  }
  return out;
}

}  // namespace pith::server
