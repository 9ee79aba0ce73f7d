// Which neighbouring symbols of a piece of text become one, and in which order: the lowest rank first, leftmost first
// of equal ones, until no two neighbours have a merge.
#ifndef PITH_TEXT_MERGE_TABLE_H
#define PITH_TEXT_MERGE_TABLE_H

#include <cstddef>
#include <cstdint>

#include "ground/arena.h"

namespace pith::internal {

constexpr uint32_t kNoSymbol = ~0u;

// A symbol of a piece, in a doubly linked list over an array of them.
struct Symbol {
  int32_t id;           // of its token, or another number that merges know; negative: merged away, or nothing merges it
  uint32_t prev, next;  // indices; kNoSymbol at the ends
};

// Two neighbours that may merge.
struct Candidate {
  int32_t rank;
  uint32_t at;    // the left symbol
  uint32_t slot;  // of the merge; the candidate is stale once the symbols there are others
  bool operator<(const Candidate& other) const {  // of a max-heap: the best candidate is the largest
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

class MergeTable {
 public:
  static constexpr size_t kMaxMerges = size_t(1) << 26;

  void lay_out(Arena* arena, size_t n_merges);  // at most so many, <= kMaxMerges
  void clear();

  // Ids >= 0. Of equal pairs the first counts. False: there is no place for it (kMaxProbes).
  bool add(int32_t left, int32_t right, int32_t rank, int32_t merged);

  // Merges the list that begins at symbols[0], n symbols long, in O(n log n). heap: [2 n].
  void merge_all(Symbol* symbols, Candidate* heap) const;

 private:
  struct Merge {
    int32_t left, right;  // left -1: an empty slot
    int32_t rank, merged;
  };
  class Queue;

  static constexpr uint32_t kNoSlot = ~0u;
  uint32_t find_slot(int32_t left, int32_t right) const;  // of the pair, or the empty one where it belongs, or kNoSlot

  Merge* slots_ = nullptr;  // hash table by (left, right); [mask + 1], at most half full
  uint32_t mask_ = 0;
};

}  // namespace pith::internal

#endif
