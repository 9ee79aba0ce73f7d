// The rules of a grammar by their names.
#ifndef PITH_GRAMMAR_RULE_NAMES_H
#define PITH_GRAMMAR_RULE_NAMES_H

#include <string_view>

#include "grammar/program_writer.h"
#include "pith/pith.h"

namespace pith::internal {

class RuleNames {
 public:
  void lay_out(Arena* arena, uint32_t max_rules);
  void clear(Program* program);

  // The rule of this name; one that is not defined yet if there is none. kNone: there is no room.
  uint32_t find(std::string_view name, uint32_t line, ProgramWriter* writer);
  bool is_defined(uint32_t rule) const { return program_->rules[rule].start != kNone; }
  // Every rule that is called is defined.
  pith_status check_all(pith_error* error) const;

 private:
  Program* program_ = nullptr;
  uint32_t* slots_ = nullptr;  // hash table of rules, kNone = empty; [mask + 1], at most half full
  uint32_t mask_ = 0;
};

}  // namespace pith::internal

#endif
