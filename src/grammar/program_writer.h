// Writes programs. An expression is a run of instructions that begins at its first one, ends behind its last one, and
// jumps nowhere else: so it can be moved, repeated and put beside others.
#ifndef PITH_GRAMMAR_PROGRAM_WRITER_H
#define PITH_GRAMMAR_PROGRAM_WRITER_H

#include "grammar/character_set.h"
#include "grammar/program.h"

namespace pith::internal {

class ProgramWriter {
 public:
  static constexpr uint32_t kUnbounded = UINT32_MAX;

  // Expressions of which one is taken: begin, the first one, next, the second one, ..., end.
  struct Alternatives {
    uint32_t begin;            // of the present one
    uint32_t pending = kNone;  // jumps from the ends of the others, a list through their `a`
  };

  explicit ProgramWriter(Program* program) : program_(program) {}

  uint32_t here() const { return program_->size; }
  bool is_full() const { return is_full_; }  // something did not fit; what was written is of no use

  uint32_t add_rule(const Rule& rule);  // kNone where there is no room
  void begin_rule(uint32_t rule) { program_->rules[rule].start = here(); }
  void end_rule() { put({Op::leave, 0, 0, 0, 0}); }

  void put_byte(uint8_t first, uint8_t last) { put({Op::byte, first, last, 0, 0}); }
  void put_text(std::string_view bytes);
  void put_character(uint32_t character);        // in UTF-8
  void put_characters(const CharacterSet& set);  // one of them, in UTF-8
  void put_call(uint32_t rule) { put({Op::call, 0, 0, rule, 0}); }
  void put_fail() { put({Op::fail, 0, 0, 0, 0}); }
  uint32_t put_jump(uint32_t to) { return put({Op::jump, 0, 0, to, 0}); }
  uint32_t put_split(uint32_t a, uint32_t b) { return put({Op::split, 0, 0, a, b}); }
  void set_jump(uint32_t at, uint32_t to) {
    if (!is_full_) program_->code[at].a = to;
  }
  void set_split(uint32_t at, uint32_t b) {
    if (!is_full_) program_->code[at].b = b;
  }

  // The expression from `begin` to here, least .. most times.
  void repeat(uint32_t begin, uint32_t least, uint32_t most);

  Alternatives begin_alternatives() const { return {here(), kNone}; }
  void next_alternative(Alternatives* a);
  void end_alternatives(const Alternatives& a);

 private:
  uint32_t put(const Instruction& instruction);
  void open(uint32_t at);  // room for one instruction
  void copy(uint32_t begin, uint32_t end);
  void repeat_any(uint32_t begin);
  void end_splits(uint32_t pending);

  Program* program_;
  bool is_full_ = false;
};

}  // namespace pith::internal

#endif
