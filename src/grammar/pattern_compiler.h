// Regular expressions of JSON Schema (`pattern`; ECMA-262's notation), over the characters of a string of JSON.
//
// Taken: characters, ".", classes, \d \w \s and their opposites, \n \t ..., \xHH, \uHHHH, groups (capturing or not),
// "|", * + ? {m} {m,} {m,n}, lazy or not, which is the same language; ^ at the beginning and $ at the end of an
// alternative of the whole. Without them other characters may stand before and behind. Refused: looking around,
// references, \b, \p, ^ and $ elsewhere.
#ifndef PITH_GRAMMAR_PATTERN_COMPILER_H
#define PITH_GRAMMAR_PATTERN_COMPILER_H

#include <string_view>

#include "grammar/program_writer.h"

namespace pith::internal {

class PatternCompiler {
 public:
  static constexpr uint32_t kMaxCharacters = 4096;  // of a pattern

  // `any`: the rule of one character of a string.
  PatternCompiler(const uint32_t* pattern, uint32_t n, uint32_t any, ProgramWriter* writer)
      : pattern_(pattern), n_(n), any_(any), writer_(writer) {}

  // NULL, or what is wrong with it; `at()` says where.
  const char* compile();
  uint32_t at() const { return at_; }

 private:
  static constexpr uint32_t kMaxGroups = 32, kMaxTimes = 100000;

  struct Group {
    ProgramWriter::Alternatives alternatives;
    uint32_t begin;
  };

  bool at_end() const { return at_ >= n_; }
  uint32_t peek(uint32_t ahead = 0) const { return at_ + ahead < n_ ? pattern_[at_ + ahead] : 0; }
  bool take(char c);
  void begin_alternative();
  void end_alternative(bool is_anchored);
  const char* read_atom();
  const char* read_group();
  const char* read_times(uint32_t* least, uint32_t* most);
  bool read_number(uint32_t* out);
  const char* read_class(CharacterSet* set);
  const char* read_class_member(uint32_t* character, CharacterSet* set, bool* is_set);
  const char* read_escape(uint32_t* character, CharacterSet* set, bool* is_set);
  bool read_hex(uint32_t n_digits, uint32_t* out);

  const uint32_t* pattern_;
  uint32_t n_, any_, at_ = 0;
  ProgramWriter* writer_;
  Group groups_[kMaxGroups];
  uint32_t n_groups_ = 0;
  uint32_t last_ = kNone;  // where what a repetition repeats begins
};

}  // namespace pith::internal

#endif
