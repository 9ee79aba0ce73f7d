// A grammar as its users write it, GBNF or JSON Schema, compiled and checked.
#ifndef PITH_GRAMMAR_GRAMMAR_H
#define PITH_GRAMMAR_GRAMMAR_H

#include "grammar/program.h"
#include "grammar/program_check.h"
#include "grammar/rule_names.h"
#include "grammar/schema_compiler.h"
#include "pith/pith.h"

namespace pith::internal {

class Grammar {
 public:
  static constexpr size_t kMaxText = size_t(1) << 20;  // bytes of a grammar or schema

  // Memory for init().
  static size_t bytes(const pith_grammar_source& source);
  // `source`: max_states is no default. The grammar keeps nothing of its text.
  pith_status init(const pith_grammar_source& source, void* memory, pith_error* error);

  const Program& program() const { return program_; }

 private:
  void lay_out(const pith_grammar_source& source, Arena* arena);
  pith_status read_gbnf(std::string_view text, pith_error* error);
  pith_status check(const pith_grammar_source& source, pith_error* error);

  Program program_;
  RuleNames names_;
  ProgramCheck check_;
  SchemaCompiler schema_;
};

}  // namespace pith::internal

struct pith_grammar {
  pith::internal::Grammar grammar;
};

#endif
