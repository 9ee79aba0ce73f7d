// What a grammar is compiled to: a pushdown automaton over bytes. Rules are programs of few instructions, which call
// each other; what a rule may read next is found by running all of its ways at once (automaton.h).
#ifndef PITH_GRAMMAR_PROGRAM_H
#define PITH_GRAMMAR_PROGRAM_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/arena.h"

namespace pith::internal {

constexpr uint32_t kNone = UINT32_MAX;

enum class Op : uint8_t {
  byte,       // reads a byte of first .. last; goes on behind
  split,      // goes on at `a` and at `b`
  jump,       // goes on at `a`
  call,       // runs rule `a`, then goes on behind
  tail_call,  // a call that nothing follows: no frame is kept for it
  leave,      // the end of a rule
  fail        // nothing fits
};

struct Instruction {
  Op op;
  uint8_t first, last;
  uint32_t a, b;
};

// A rule: where its program begins, and what errors call it.
struct Rule {
  uint32_t start = kNone;  // kNone: not defined yet
  uint32_t origin = 0;     // GBNF: the line that first names it; JSON Schema: its subschema
  std::string_view name;   // leads into the grammar's text, or is empty: a subschema
};

struct Program {
  static constexpr uint32_t kMaxDepth = 512;  // frames of unfinished calls; what needs more is not part of the language
  static constexpr uint16_t kNever = UINT16_MAX;

  Instruction* code = nullptr;  // [capacity]
  uint16_t* depth = nullptr;    // [capacity]: frames that the rest of the rule needs at least, or kNever
  Rule* rules = nullptr;        // [max_rules]
  uint32_t capacity = 0, size = 0, max_rules = 0, n_rules = 0, root = kNone;

  void lay_out(Arena* arena, uint32_t max_instructions) {
    capacity = max_instructions;
    max_rules = max_instructions / 4;
    code = arena->take<Instruction>(capacity);
    depth = arena->take<uint16_t>(capacity);
    rules = arena->take<Rule>(max_rules);
  }
};

}  // namespace pith::internal

#endif
