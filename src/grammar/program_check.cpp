#include "grammar/program_check.h"

#include <algorithm>

namespace pith::internal {

void ProgramCheck::lay_out(Arena* arena, uint32_t capacity, uint32_t max_rules) {
  first_edge_ = arena->take<uint32_t>(capacity);
  edges_ = arena->take<Edge>(2 * size_t(capacity));
  first_call_ = arena->take<uint32_t>(max_rules);
  next_call_ = arena->take<uint32_t>(capacity);
  rule_at_ = arena->take<uint32_t>(capacity);
  caller_ = arena->take<uint32_t>(capacity);
  n_left_ = arena->take<uint32_t>(max_rules);
  next_ = arena->take<uint32_t>(capacity);
  stamps_ = arena->take<uint32_t>(capacity);
  stack_ = arena->take<uint32_t>(size_t(capacity) + max_rules);
  nullable_ = arena->take<uint8_t>(capacity);
}

ProgramCheck::Result ProgramCheck::run(Program* program, uint32_t* rule) {
  program_ = program;
  link();
  find_depths(Bytes::are_none);
  for (uint32_t i = 0; i < program->size; ++i) nullable_[i] = program->depth[i] != Program::kNever;
  if (has_left_recursion(rule)) return Result::left_recursive;
  find_depths(Bytes::are_read);
  *rule = program->root;
  return program->depth[program->rules[*rule].start] == Program::kNever ? Result::empty : Result::good;
}

void ProgramCheck::add_edge(uint32_t from, uint32_t to) {
  edges_[n_edges_] = {from, first_edge_[to]};
  first_edge_[to] = n_edges_++;
}

void ProgramCheck::link() {
  const Program& p = *program_;
  n_edges_ = 0;
  std::fill(first_edge_, first_edge_ + p.size, kNone);
  std::fill(rule_at_, rule_at_ + p.size, kNone);
  std::fill(first_call_, first_call_ + p.n_rules, kNone);
  for (uint32_t r = 0; r < p.n_rules; ++r) rule_at_[p.rules[r].start] = r;
  for (uint32_t i = 0; i < p.size; ++i) {
    Instruction& at = p.code[i];
    if (at.op == Op::call) {
      uint32_t next = i + 1;
      while (p.code[next].op == Op::jump) next = p.code[next].a;  // no cycle: a loop has a split
      if (p.code[next].op == Op::leave) at.op = Op::tail_call;
    }
    if (at.op == Op::split || at.op == Op::jump) add_edge(i, at.a);
    if (at.op == Op::split) add_edge(i, at.b);
    if (at.op == Op::byte || at.op == Op::call) add_edge(i, i + 1);
    if (at.op == Op::call || at.op == Op::tail_call) {
      next_call_[i] = first_call_[at.a];
      first_call_[at.a] = i;
    }
  }
}

// The least depth of every instruction, lowest first, so that what is found first is the least (as Dijkstra's paths).
void ProgramCheck::find_depths(Bytes bytes) {
  std::fill(program_->depth, program_->depth + program_->size, Program::kNever);
  std::fill(waiting_, waiting_ + Program::kMaxDepth + 1, kNone);
  for (uint32_t i = 0; i < program_->size; ++i) {
    if (program_->code[i].op == Op::leave) settle(i, 0);
  }
  for (uint32_t depth = 0; depth <= Program::kMaxDepth; ++depth) {
    while (waiting_[depth] != kNone) {
      const uint32_t at = waiting_[depth];
      waiting_[depth] = next_[at];
      hand_on(at, bytes);
    }
  }
}

void ProgramCheck::settle(uint32_t at, uint32_t depth) {
  if (program_->depth[at] != Program::kNever || depth > Program::kMaxDepth) return;
  program_->depth[at] = uint16_t(depth);
  next_[at] = waiting_[depth];
  waiting_[depth] = at;
}

void ProgramCheck::hand_on(uint32_t at, Bytes bytes) {
  const Program& p = *program_;
  const uint32_t depth = p.depth[at];
  const auto settle_call = [&](uint32_t call) {
    const uint32_t inside = p.depth[p.rules[p.code[call].a].start], behind = p.depth[call + 1];
    if (inside != Program::kNever && behind != Program::kNever) settle(call, std::max(inside + 1, behind));
  };
  for (uint32_t e = first_edge_[at]; e != kNone; e = edges_[e].next) {
    const uint32_t from = edges_[e].from;
    if (p.code[from].op == Op::call) settle_call(from);
    else if (p.code[from].op != Op::byte || bytes == Bytes::are_read) settle(from, depth);
  }
  if (rule_at_[at] == kNone) return;
  for (uint32_t call = first_call_[rule_at_[at]]; call != kNone; call = next_call_[call]) {
    if (p.code[call].op == Op::tail_call) settle(call, depth);
    else settle_call(call);
  }
}

// take(call) for every call of a rule that no byte need stand before.
template <typename Take>
void ProgramCheck::for_left_calls(uint32_t rule, const Take& take) {
  const Program& p = *program_;
  uint32_t n = 0;
  ++stamp_;
  const auto visit = [&](uint32_t at) {
    if (stamps_[at] == stamp_) return;
    stamps_[at] = stamp_;
    stack_[n++] = at;
  };
  visit(p.rules[rule].start);
  while (n > 0) {
    const uint32_t at = stack_[--n];
    const Instruction& i = p.code[at];
    if (i.op == Op::split || i.op == Op::jump) visit(i.a);
    if (i.op == Op::split) visit(i.b);
    if (i.op != Op::call && i.op != Op::tail_call) continue;
    take(at);
    if (i.op == Op::call && nullable_[p.rules[i.a].start] != 0) visit(at + 1);
  }
}

// Takes away rules without such calls, and the calls of them, until none is left, or some that call each other.
bool ProgramCheck::has_left_recursion(uint32_t* rule) {
  const Program& p = *program_;
  stamp_ = 0;
  std::fill(stamps_, stamps_ + p.size, 0u);
  std::fill(caller_, caller_ + p.size, kNone);
  for (uint32_t r = 0; r < p.n_rules; ++r) {
    n_left_[r] = 0;
    for_left_calls(r, [&](uint32_t call) {
      caller_[call] = r;
      ++n_left_[r];
    });
  }
  uint32_t n = 0, n_done = 0;
  for (uint32_t r = 0; r < p.n_rules; ++r) {
    if (n_left_[r] == 0) stack_[n++] = r;
  }
  while (n > 0) {
    const uint32_t done = stack_[--n];
    ++n_done;
    for (uint32_t call = first_call_[done]; call != kNone; call = next_call_[call]) {
      if (caller_[call] != kNone && --n_left_[caller_[call]] == 0) stack_[n++] = caller_[call];
    }
  }
  if (n_done == p.n_rules) return false;
  uint32_t at = 0;
  while (n_left_[at] == 0) ++at;
  for (uint32_t step = 0; step < p.n_rules; ++step) {  // every one left calls another one left: this ends in a circle
    uint32_t next = at;
    for_left_calls(at, [&](uint32_t call) {
      if (n_left_[p.code[call].a] != 0) next = p.code[call].a;
    });
    at = next;
  }
  *rule = at;
  return true;
}

}  // namespace pith::internal
