#include "text/added_tokens.h"

namespace pith::internal {

void AddedTokens::lay_out(Arena* arena, size_t n_bytes) { nodes_ = arena->take<Node>(n_bytes + 1); }

void AddedTokens::clear() {
  Node* nodes = nodes_;
  *this = AddedTokens();
  nodes_ = nodes;
  nodes_[0] = {0, 0, 0, 0, -1, {-1, -1, -1}, 0};
}

uint32_t AddedTokens::child_of(uint32_t node, char byte) const {
  if (node == 0) return roots_[uint8_t(byte)];
  uint32_t child = nodes_[node].child;
  while (child != 0 && nodes_[child].byte != byte) child = nodes_[child].sibling;
  return child;
}

void AddedTokens::add(std::string_view name, int32_t token, Kind kind) {
  uint32_t node = 0;
  for (size_t i = name.size(); i-- > 0;) {
    uint32_t child = child_of(node, name[i]);
    if (child == 0) {
      child = n_nodes_++;
      nodes_[child] = {0, nodes_[node].child, 0, 0, -1, {-1, -1, -1}, name[i]};
      nodes_[node].child = child;
      if (node == 0) roots_[uint8_t(name[i])] = child;
    }
    node = child;
  }
  if (nodes_[node].token >= 0) return;
  nodes_[node].token = nodes_[node].longest[size_t(kind)] = nodes_[node].longest[size_t(Which::all)] = token;
  has_[size_t(kind)] = true;
}

uint32_t AddedTokens::next_state(uint32_t state, char byte) const {
  for (;; state = nodes_[state].fail) {
    const uint32_t child = child_of(state, byte);
    if (child != 0 || state == 0) return child;
  }
}

// Breadth first, so that what a node fails to, which is shorter, is finished before it.
void AddedTokens::finish() {
  uint32_t last = 0;
  for (uint32_t node = 0;; node = nodes_[node].queued) {
    for (uint32_t child = nodes_[node].child; child != 0; child = nodes_[child].sibling) {
      Node& c = nodes_[child];
      c.fail = node == 0 ? 0 : next_state(nodes_[node].fail, c.byte);
      for (size_t which = 0; which < 3; ++which) {
        if (c.longest[which] < 0) c.longest[which] = nodes_[c.fail].longest[which];
      }
      nodes_[last].queued = child;
      last = child;
    }
    if (node == last) return;
  }
}

int32_t AddedTokens::find(std::string_view name) const {
  uint32_t node = 0;
  for (size_t i = name.size(); i-- > 0;) {
    node = child_of(node, name[i]);
    if (node == 0) return -1;
  }
  return nodes_[node].token;
}

void AddedTokens::find_all(std::string_view text, Which which, int32_t* starts) const {
  uint32_t state = 0;
  for (size_t i = text.size(); i-- > 0;) {
    state = next_state(state, text[i]);
    starts[i] = nodes_[state].longest[size_t(which)];
  }
}

}  // namespace pith::internal
