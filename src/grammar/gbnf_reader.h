// GBNF, the notation of grammars that llama.cpp's users know: rules of literals, classes of characters, groups,
// repetitions.
#ifndef PITH_GRAMMAR_GBNF_READER_H
#define PITH_GRAMMAR_GBNF_READER_H

#include <string_view>

#include "grammar/program_writer.h"
#include "grammar/rule_names.h"
#include "pith/pith.h"

namespace pith::internal {

class GbnfReader {
 public:
  GbnfReader(std::string_view text, RuleNames* names, ProgramWriter* writer)
      : text_(text), names_(names), writer_(writer) {}

  // Writes the rules of the text. Whether each rule that it names is defined, its caller looks (RuleNames::check_all).
  pith_status read(pith_error* error);

 private:
  static constexpr uint32_t kMaxGroups = 64;  // groups within groups
  static constexpr uint32_t kMaxTimes = 1u << 20;

  struct Group {
    ProgramWriter::Alternatives alternatives;
    uint32_t begin, line;
  };

  template <typename... Pieces>
  pith_status refuse(pith_error* error, const Pieces&... pieces) const;
  bool at_end() const { return at_ >= text_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(std::string_view word);
  void skip_blanks();       // and a comment
  void skip_lines();        // the same, and line ends
  bool goes_on_with_bar();  // whether the next line that has something begins with a bar
  std::string_view take_name();
  pith_status read_rule(pith_error* error);
  pith_status read_alternatives(pith_error* error);
  pith_status read_item(Group* groups, uint32_t* n_groups, uint32_t* last, pith_error* error);
  pith_status read_literal(pith_error* error);
  pith_status read_class(pith_error* error);
  pith_status read_character(uint32_t* out, pith_error* error);
  pith_status read_hex(uint32_t n_digits, uint32_t* out, pith_error* error);
  pith_status read_utf8(uint32_t* out, pith_error* error);
  pith_status read_times(uint32_t* least, uint32_t* most, pith_error* error);
  pith_status read_number(uint32_t* out, pith_error* error);

  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  RuleNames* names_;
  ProgramWriter* writer_;
};

}  // namespace pith::internal

#endif
