// What must be known of a whole program before it runs: how deep the calls of every rest of a rule go at least, that
// some text fits the root, and that no rule calls itself before it has read a byte.
#ifndef PITH_GRAMMAR_PROGRAM_CHECK_H
#define PITH_GRAMMAR_PROGRAM_CHECK_H

#include "grammar/program.h"

namespace pith::internal {

// Scratch, of use while a program is checked. Every instruction is visited a few times: the time is linear.
class ProgramCheck {
 public:
  enum class Result : uint8_t { good, left_recursive, empty };

  void lay_out(Arena* arena, uint32_t capacity, uint32_t max_rules);
  // All rules are defined. Marks tail calls and fills `depth`. *rule: the one at fault.
  Result run(Program* program, uint32_t* rule);

 private:
  enum class Bytes : uint8_t { are_read, are_none };

  void link();
  void add_edge(uint32_t from, uint32_t to);
  void find_depths(Bytes bytes);
  void settle(uint32_t at, uint32_t depth);
  void hand_on(uint32_t at, Bytes bytes);
  bool has_left_recursion(uint32_t* rule);
  template <typename Take>
  void for_left_calls(uint32_t rule, const Take& take);

  struct Edge {
    uint32_t from, next;
  };
  Program* program_ = nullptr;
  uint32_t n_edges_ = 0, stamp_ = 0;
  uint32_t* first_edge_ = nullptr;  // [capacity]: the instructions that go on at this one, lists through edges_
  Edge* edges_ = nullptr;           // [2 capacity]
  uint32_t* first_call_ = nullptr;  // [max_rules]: the calls of this rule, lists through next_call_
  uint32_t* next_call_ = nullptr;   // [capacity]
  uint32_t* rule_at_ = nullptr;     // [capacity]: the rule that begins here, or kNone
  uint32_t* caller_ = nullptr;      // [capacity]: of a call that no byte stands before, its rule; otherwise kNone
  uint32_t* n_left_ = nullptr;      // [max_rules]: such calls of rules that are not done
  uint32_t* next_ = nullptr;        // [capacity]: instructions that wait, lists by depth
  uint32_t* stamps_ = nullptr;      // [capacity]: the search that was here last
  uint32_t* stack_ = nullptr;       // [capacity + max_rules]
  uint8_t* nullable_ = nullptr;     // [capacity]: the rest of the rule may be nothing
  uint32_t waiting_[Program::kMaxDepth + 1] = {};
};

}  // namespace pith::internal

#endif
