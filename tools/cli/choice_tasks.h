// Multiple-choice tasks of a file: a line of JSON for each.
//
//   {"context": "The fox", "choices": [" ran.", " rained."], "answer": 0}
//   {"ctx": "The fox", "endings": ["ran.", "rained."], "label": "0"}      HellaSwag's own names
//
// A choice continues its context as the two are written. Of HellaSwag's names a space is put between, as there; its
// label may be a number or the digits of one. Other members are passed over, and so are blank lines.
#ifndef PITH_CLI_CHOICE_TASKS_H
#define PITH_CLI_CHOICE_TASKS_H

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pith::cli {

struct ChoiceTask {
  size_t line;  // of the file, from 1
  std::string context;
  const char* between = "";          // context and choice
  std::vector<std::string> choices;  // two or more, none of them empty
  size_t answer;                     // the right one
};

// Throws std::runtime_error that names the line and the field.
std::vector<ChoiceTask> parse_choice_tasks(std::string_view text);

}  // namespace pith::cli

#endif
