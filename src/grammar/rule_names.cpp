#include "grammar/rule_names.h"

#include <algorithm>

#include "ground/status.h"
#include "text/byte_hash.h"

namespace pith::internal {

void RuleNames::lay_out(Arena* arena, uint32_t max_rules) {
  uint32_t n_slots = 16;
  while (n_slots < 2 * max_rules) n_slots *= 2;
  mask_ = n_slots - 1;
  slots_ = arena->take<uint32_t>(n_slots);
}

void RuleNames::clear(Program* program) {
  program_ = program;
  std::fill(slots_, slots_ + mask_ + 1, kNone);
}

uint32_t RuleNames::find(std::string_view name, uint32_t line, ProgramWriter* writer) {
  for (uint32_t i = uint32_t(mix(ByteHash::of(name)));; ++i) {
    uint32_t& slot = slots_[i & mask_];
    if (slot == kNone) return slot = writer->add_rule({kNone, line, name});
    if (program_->rules[slot].name == name) return slot;
  }
}

pith_status RuleNames::check_all(pith_error* error) const {
  for (uint32_t i = 0; i < program_->n_rules; ++i) {
    const Rule& rule = program_->rules[i];
    if (rule.start == kNone)
      return fail(error, PITH_E_GRAMMAR, "grammar: line ", rule.origin, ": rule \"", rule.name,
                  "\" is used and not defined");
  }
  return PITH_OK;
}

}  // namespace pith::internal
