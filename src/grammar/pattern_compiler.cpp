#include "grammar/pattern_compiler.h"

#include "grammar/json_text.h"

namespace pith::internal {
namespace {

void add_class(char name, CharacterSet* set) {
  CharacterSet members;
  switch (name) {
    case 'd':
    case 'D': members.add('0', '9'); break;
    case 'w':
    case 'W':
      members.add('0', '9');
      members.add('A', 'Z');
      members.add('_');
      members.add('a', 'z');
      break;
    default:
      members.add('\t', '\r');
      for (const uint32_t c : {0x20u, 0xa0u, 0x1680u, 0x2028u, 0x2029u, 0x202fu, 0x205fu, 0x3000u, 0xfeffu})
        members.add(c);
      members.add(0x2000, 0x200a);
      break;
  }
  if (name == 'D' || name == 'W' || name == 'S') members.negate();
  set->add(members);
}

bool is_word(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

}  // namespace

bool PatternCompiler::take(char c) {
  if (at_end() || pattern_[at_] != uint8_t(c)) return false;
  ++at_;
  return true;
}

// Of the whole pattern.
void PatternCompiler::begin_alternative() {
  last_ = kNone;
  if (take('^')) return;
  const uint32_t begin = writer_->here();
  writer_->put_call(any_);
  writer_->repeat(begin, 0, ProgramWriter::kUnbounded);
}

void PatternCompiler::end_alternative(bool is_anchored) {
  if (is_anchored) return;
  const uint32_t begin = writer_->here();
  writer_->put_call(any_);
  writer_->repeat(begin, 0, ProgramWriter::kUnbounded);
}

const char* PatternCompiler::compile() {
  groups_[0] = {writer_->begin_alternatives(), writer_->here()};
  n_groups_ = 1;
  begin_alternative();
  bool is_anchored = false;
  while (!at_end()) {
    if (writer_->is_full()) return nullptr;
    Group& group = groups_[n_groups_ - 1];
    if (take('|')) {
      if (n_groups_ == 1) end_alternative(is_anchored);
      writer_->next_alternative(&group.alternatives);
      last_ = kNone;
      is_anchored = false;
      if (n_groups_ == 1) begin_alternative();
      continue;
    }
    if (is_anchored) return "\"$\" stands elsewhere than at the end";
    if (peek() == '$' && n_groups_ == 1) {
      ++at_;
      is_anchored = true;
    } else if (take('(')) {
      if (const char* wrong = read_group()) return wrong;
    } else if (peek() == ')') {
      if (n_groups_ == 1) return "a \")\" closes no group";
      ++at_;
      writer_->end_alternatives(group.alternatives);
      last_ = group.begin;
      --n_groups_;
    } else if (const char* wrong = read_atom()) {
      return wrong;
    }
  }
  if (n_groups_ > 1) return "a group lacks its \")\"";
  end_alternative(is_anchored);
  writer_->end_alternatives(groups_[0].alternatives);
  return nullptr;
}

const char* PatternCompiler::read_group() {
  if (take('?') && !take(':')) return "looking around, and groups by name, are not supported";
  if (n_groups_ == kMaxGroups) return "too many groups within each other";
  groups_[n_groups_++] = {writer_->begin_alternatives(), writer_->here()};
  last_ = kNone;
  return nullptr;
}

// A character, a class or a repetition of what stands before.
const char* PatternCompiler::read_atom() {
  const uint32_t c = peek();
  if (c == '*' || c == '+' || c == '?' || c == '{') {
    uint32_t least = 0, most = 0;
    if (last_ == kNone) return "nothing stands before the repetition";
    if (const char* wrong = read_times(&least, &most)) return wrong;
    (void)take('?');
    writer_->repeat(last_, least, most);
    last_ = kNone;
    return nullptr;
  }
  if (c == '^' || c == '$') return "\"^\" and \"$\" are supported at the beginning and end of the whole pattern alone";
  last_ = writer_->here();
  CharacterSet set;
  uint32_t character = c;
  bool is_set = false;
  ++at_;
  if (c == '.') {
    is_set = true;
    for (const uint32_t end : {uint32_t('\n'), uint32_t('\r'), 0x2028u, 0x2029u}) set.add(end);
    set.negate();
  } else if (c == '[') {
    is_set = true;
    if (const char* wrong = read_class(&set)) return wrong;
  } else if (c == '\\') {
    if (const char* wrong = read_escape(&character, &set, &is_set)) return wrong;
  } else if (c == ']' || c == '}') {
    return "a bracket or brace that closes nothing";
  }
  if (!is_set) put_json_character(writer_, character);
  else if (!put_json_characters(writer_, set)) return "a class has too many ranges";
  return nullptr;
}

const char* PatternCompiler::read_times(uint32_t* least, uint32_t* most) {
  const uint32_t c = peek();
  ++at_;
  *least = c == '+' ? 1 : 0;
  *most = c == '?' ? 1 : ProgramWriter::kUnbounded;
  if (c != '{') return nullptr;
  if (!read_number(least)) return "a repetition needs a number of at most 100000";
  *most = *least;
  if (take(',')) {
    *most = ProgramWriter::kUnbounded;
    if (peek() != '}' && !read_number(most)) return "a repetition needs a number of at most 100000";
  }
  if (!take('}')) return "a repetition lacks its \"}\"";
  return *most < *least ? "a repetition ends before it begins" : nullptr;
}

bool PatternCompiler::read_number(uint32_t* out) {
  uint32_t value = 0;
  const uint32_t first = at_;
  for (; peek() >= '0' && peek() <= '9' && value <= kMaxTimes; ++at_) value = value * 10 + (peek() - '0');
  *out = value;
  return at_ > first && value <= kMaxTimes;
}

// Behind its "[".
const char* PatternCompiler::read_class(CharacterSet* set) {
  const bool is_negative = take('^');
  while (!take(']')) {
    if (at_end()) return "a class lacks its \"]\"";
    uint32_t first = 0, last = 0;
    bool is_set = false;
    if (const char* wrong = read_class_member(&first, set, &is_set)) return wrong;
    if (is_set) continue;
    last = first;
    if (peek() == '-' && at_ + 1 < n_ && peek(1) != ']') {
      ++at_;
      if (const char* wrong = read_class_member(&last, set, &is_set)) return wrong;
      if (is_set) return "a range of a class that ends with a class";
      if (last < first) return "a range of a class ends before it begins";
    }
    set->add(first, last);
  }
  if (is_negative) set->negate();
  return nullptr;
}

const char* PatternCompiler::read_class_member(uint32_t* character, CharacterSet* set, bool* is_set) {
  *character = peek();
  ++at_;
  if (*character != '\\') return nullptr;
  if (take('b')) {
    *character = '\b';
    return nullptr;
  }
  return read_escape(character, set, is_set);
}

// Behind its "\".
const char* PatternCompiler::read_escape(uint32_t* character, CharacterSet* set, bool* is_set) {
  if (at_end()) return "\"\\\" is the last character";
  const uint32_t c = peek();
  ++at_;
  *character = c;
  switch (c) {
    case 'd':
    case 'D':
    case 'w':
    case 'W':
    case 's':
    case 'S':
      *is_set = true;
      add_class(char(c), set);
      return nullptr;
    case 'n': *character = '\n'; return nullptr;
    case 'r': *character = '\r'; return nullptr;
    case 't': *character = '\t'; return nullptr;
    case 'f': *character = '\f'; return nullptr;
    case 'v': *character = '\v'; return nullptr;
    case 'x': return read_hex(2, character) ? nullptr : "\"\\x\" needs two hexadecimal digits";
    case 'u': return read_hex(4, character) ? nullptr : "\"\\u\" needs four hexadecimal digits of a character";
    default: break;
  }
  return is_word(c) ? "this escape is not supported" : nullptr;
}

bool PatternCompiler::read_hex(uint32_t n_digits, uint32_t* out) {
  *out = 0;
  for (uint32_t i = 0; i < n_digits; ++i, ++at_) {
    const uint32_t c = peek();
    if (c >= '0' && c <= '9') *out = *out << 4 | (c - '0');
    else if (c >= 'a' && c <= 'f') *out = *out << 4 | (c - 'a' + 10);
    else if (c >= 'A' && c <= 'F') *out = *out << 4 | (c - 'A' + 10);
    else return false;
  }
  return *out < 0xd800 || *out > 0xdfff;
}

}  // namespace pith::internal
