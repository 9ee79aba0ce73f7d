// Tokens with a text of their own, found in a text before it is split and merged: special ones (control tokens and the
// unknown token) and those that a program's user added. Where several begin, the longest is taken; the first place
// first.
//
// The names are read from their ends, in an automaton of Aho and Corasick: going through a text from its end, its state
// after a byte knows all names that begin there. That takes linear time, whatever the names are.
#ifndef PITH_TEXT_ADDED_TOKENS_H
#define PITH_TEXT_ADDED_TOKENS_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/arena.h"

namespace pith::internal {

class AddedTokens {
 public:
  static constexpr size_t kMaxBytes = size_t(1) << 25;  // of all names

  enum class Kind : uint8_t { special, user_defined };
  enum class Which : uint8_t { special, user_defined, all };

  void lay_out(Arena* arena, size_t n_bytes);  // of all names, <= kMaxBytes
  void clear();
  // Of equal names the first counts. All before finish().
  void add(std::string_view name, int32_t token, Kind kind);
  void finish();

  int32_t find(std::string_view name) const;  // -1: none
  bool has(Which which) const { return which == Which::all ? has_[0] || has_[1] : has_[size_t(which)]; }

  // starts[i]: the token of the longest name that begins at text[i], or -1; [text.size()].
  void find_all(std::string_view text, Which which, int32_t* starts) const;

 private:
  struct Node {
    uint32_t child, sibling;  // 0: none
    uint32_t fail;            // the node of the longest beginning of a name that this one's ends with
    uint32_t queued;          // while finishing: the node after this one
    int32_t token;            // whose name ends here, -1: none
    int32_t longest[3];       // by Which: of the names that are ends of what leads here, the longest one's token
    char byte;
  };
  uint32_t child_of(uint32_t node, char byte) const;  // 0: none
  uint32_t next_state(uint32_t state, char byte) const;

  Node* nodes_ = nullptr;  // [n_nodes <= 1 + bytes of all names]; 0 is the root
  uint32_t n_nodes_ = 1;
  uint32_t roots_[256] = {};  // children of the root by their byte
  bool has_[2] = {};          // by Kind
};

}  // namespace pith::internal

#endif
