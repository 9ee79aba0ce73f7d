#include "grammar/program_writer.h"

namespace pith::internal {

uint32_t ProgramWriter::add_rule(const Rule& rule) {
  if (program_->n_rules == program_->max_rules) is_full_ = true;
  if (is_full_) return kNone;
  program_->rules[program_->n_rules] = rule;
  return program_->n_rules++;
}

uint32_t ProgramWriter::put(const Instruction& instruction) {
  if (program_->size == program_->capacity) is_full_ = true;
  if (is_full_) return 0;
  program_->code[program_->size] = instruction;
  return program_->size++;
}

void ProgramWriter::put_text(std::string_view bytes) {
  for (const char c : bytes) put_byte(uint8_t(c), uint8_t(c));
}

void ProgramWriter::put_character(uint32_t character) {
  uint8_t bytes[4];
  const uint32_t n = write_utf8(character, bytes);
  for (uint32_t i = 0; i < n; ++i) put_byte(bytes[i], bytes[i]);
}

void ProgramWriter::put_characters(const CharacterSet& set) {
  Alternatives either = begin_alternatives();
  bool is_first = true;
  for_utf8_sequences(set, [&](const ByteRange* bytes, uint32_t n) {
    if (!is_first) next_alternative(&either);
    is_first = false;
    for (uint32_t i = 0; i < n; ++i) put_byte(bytes[i].first, bytes[i].last);
  });
  if (is_first) put_fail();  // surrogates alone, which UTF-8 does not have
  end_alternatives(either);
}

// Moves what stands at `at` and behind it by one; what stands there is an expression, and nothing before it jumps into
// it.
void ProgramWriter::open(uint32_t at) {
  put({Op::fail, 0, 0, 0, 0});
  if (is_full_) return;
  Instruction* code = program_->code;
  for (uint32_t i = program_->size - 1; i > at; --i) {
    code[i] = code[i - 1];
    if (code[i].op == Op::split || code[i].op == Op::jump) ++code[i].a;
    if (code[i].op == Op::split) ++code[i].b;
  }
}

void ProgramWriter::copy(uint32_t begin, uint32_t end) {
  const uint32_t shift = here() - begin;
  for (uint32_t i = begin; i < end && !is_full_; ++i) {
    Instruction moved = program_->code[i];
    if (moved.op == Op::split || moved.op == Op::jump) moved.a += shift;
    if (moved.op == Op::split) moved.b += shift;
    put(moved);
  }
}

void ProgramWriter::repeat_any(uint32_t begin) {
  open(begin);
  put_jump(begin);
  if (!is_full_) program_->code[begin] = {Op::split, 0, 0, begin + 1, here()};
}

// Splits whose second ways, a list through `b`, lead here.
void ProgramWriter::end_splits(uint32_t pending) {
  while (pending != kNone && !is_full_) {
    const uint32_t next = program_->code[pending].b;
    program_->code[pending].b = here();
    pending = next;
  }
}

void ProgramWriter::repeat(uint32_t begin, uint32_t least, uint32_t most) {
  if (is_full_) return;
  if (most == 0) {
    program_->size = begin;
    return;
  }
  if (least == 0 && most == kUnbounded) return repeat_any(begin);
  const uint64_t times = most == kUnbounded ? least : most;
  if (times * (here() - begin + 1) > program_->capacity) {
    is_full_ = true;
    return;
  }
  uint32_t pending = kNone, first = begin, done = 1;
  if (least == 0) {
    open(begin);
    if (is_full_) return;
    program_->code[begin] = {Op::split, 0, 0, begin + 1, kNone};
    pending = begin;
    ++first;
  }
  const uint32_t end = here();
  uint32_t last = first;  // where the last copy begins
  for (; done < least; ++done) {
    last = here();
    copy(first, end);
  }
  if (most == kUnbounded) {
    put_split(last, here() + 1);
    return;
  }
  for (; done < most; ++done) {
    pending = put_split(here() + 1, pending);
    copy(first, end);
  }
  end_splits(pending);
}

void ProgramWriter::next_alternative(Alternatives* a) {
  open(a->begin);
  a->pending = put_jump(a->pending);
  if (!is_full_) program_->code[a->begin] = {Op::split, 0, 0, a->begin + 1, here()};
  a->begin = here();
}

void ProgramWriter::end_alternatives(const Alternatives& a) {
  uint32_t pending = a.pending;
  while (pending != kNone && !is_full_) {
    const uint32_t next = program_->code[pending].a;
    program_->code[pending].a = here();
    pending = next;
  }
}

}  // namespace pith::internal
