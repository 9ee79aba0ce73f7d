#include "grammar/grammar.h"

#include "grammar/gbnf_reader.h"
#include "ground/status.h"

namespace pith::internal {

void Grammar::lay_out(const pith_grammar_source& source, Arena* arena) {
  arena->take<Grammar>(1);
  program_.lay_out(arena, source.max_states);
  names_.lay_out(arena, program_.max_rules);
  check_.lay_out(arena, program_.capacity, program_.max_rules);
  if (source.kind == PITH_GRAMMAR_JSON_SCHEMA) schema_.lay_out(source.text_bytes, program_, arena);
}

size_t Grammar::bytes(const pith_grammar_source& source) {
  Arena measure;
  Grammar().lay_out(source, &measure);
  return measure.used();
}

pith_status Grammar::init(const pith_grammar_source& source, void* memory, pith_error* error) {
  *this = Grammar();
  Arena arena(memory);
  lay_out(source, &arena);
  names_.clear(&program_);
  const std::string_view text(source.text, source.text_bytes);
  const bool is_schema = source.kind == PITH_GRAMMAR_JSON_SCHEMA;
  ProgramWriter writer(&program_);
  PITH_TRY(GbnfReader(is_schema ? SchemaCompiler::common_rules() : text, &names_, &writer).read(error));
  if (is_schema && !writer.is_full()) PITH_TRY(schema_.compile(text, &program_, &names_, &writer, error));
  if (!is_schema && !writer.is_full()) program_.root = names_.find("root", 1, &writer);
  if (writer.is_full())
    return fail(error, PITH_E_LIMIT, is_schema ? "schema" : "grammar", ": it needs more than ", source.max_states,
                " states, or ", program_.max_rules, " rules; raise max_states of pith_grammar_source");
  if (!is_schema) PITH_TRY(names_.check_all(error));
  return check(source, error);
}

pith_status Grammar::check(const pith_grammar_source& source, pith_error* error) {
  uint32_t rule = kNone;
  const ProgramCheck::Result result = check_.run(&program_, &rule);
  if (result == ProgramCheck::Result::good) return PITH_OK;
  const bool is_empty = result == ProgramCheck::Result::empty;
  if (source.kind == PITH_GRAMMAR_JSON_SCHEMA)
    return schema_.refuse_rule(
        rule, PITH_E_GRAMMAR, is_empty ? "nothing fits this schema" : "this schema refers to itself for the same value",
        error);
  const Rule& at = program_.rules[rule];
  if (is_empty)
    return fail(error, PITH_E_GRAMMAR, "grammar: line ", at.origin, ": no text fits rule \"", at.name,
                "\": it never ends");
  return fail(error, PITH_E_GRAMMAR, "grammar: line ", at.origin, ": rule \"", at.name,
              "\" calls itself before it reads anything (left recursion); write it as a repetition");
}

}  // namespace pith::internal
