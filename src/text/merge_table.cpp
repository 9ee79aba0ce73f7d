#include "text/merge_table.h"

#include <algorithm>

#include "text/byte_hash.h"

namespace pith::internal {

void MergeTable::lay_out(Arena* arena, size_t n_merges) {
  size_t size = 16;
  while (size < 2 * n_merges) size *= 2;
  slots_ = arena->take<Merge>(size);
  mask_ = uint32_t(size - 1);
}

void MergeTable::clear() { std::fill(slots_, slots_ + size_t(mask_) + 1, Merge{-1, -1, 0, 0}); }

uint32_t MergeTable::find_slot(int32_t left, int32_t right) const {
  const uint32_t first = uint32_t(mix(uint64_t(uint32_t(left)) << 32 | uint32_t(right)));
  for (uint32_t i = 0; i < kMaxProbes; ++i) {
    const uint32_t slot = (first + i) & mask_;
    const Merge& merge = slots_[slot];
    if (merge.left < 0 || (merge.left == left && merge.right == right)) return slot;
  }
  return kNoSlot;
}

bool MergeTable::add(int32_t left, int32_t right, int32_t rank, int32_t merged) {
  const uint32_t slot = find_slot(left, right);
  if (slot != kNoSlot && slots_[slot].left < 0) slots_[slot] = {left, right, rank, merged};
  return slot != kNoSlot;
}

class MergeTable::Queue {
 public:
  Queue(const MergeTable& table, Symbol* symbols, Candidate* heap) : table_(table), symbols_(symbols), heap_(heap) {
    for (uint32_t i = 0; i != kNoSymbol; i = symbols[i].next) offer(i);
  }

  // Merges until no rule applies. The heap starts with at most n - 1 candidates; each of the at most n - 1 merges takes
  // one out and offers two: it never holds more than 2 n.
  void merge_all() {
    while (size_ > 0) {
      std::pop_heap(heap_, heap_ + size_);
      const Candidate best = heap_[--size_];
      const Merge& merge = table_.slots_[best.slot];
      Symbol& left = symbols_[best.at];
      if (left.id != merge.left || left.next == kNoSymbol || symbols_[left.next].id != merge.right) continue;
      Symbol& right = symbols_[left.next];
      left.id = merge.merged;
      right.id = -1;
      left.next = right.next;
      if (left.next != kNoSymbol) symbols_[left.next].prev = best.at;
      offer(best.at);
      if (left.prev != kNoSymbol) offer(left.prev);
    }
  }

 private:
  void offer(uint32_t at) {
    const Symbol& left = symbols_[at];
    if (left.id < 0 || left.next == kNoSymbol || symbols_[left.next].id < 0) return;
    const uint32_t slot = table_.find_slot(left.id, symbols_[left.next].id);
    if (slot == kNoSlot || table_.slots_[slot].left < 0) return;
    heap_[size_++] = {table_.slots_[slot].rank, at, slot};
    std::push_heap(heap_, heap_ + size_);
  }

  const MergeTable& table_;
  Symbol* symbols_;
  Candidate* heap_;
  size_t size_ = 0;
};

void MergeTable::merge_all(Symbol* symbols, Candidate* heap) const { Queue(*this, symbols, heap).merge_all(); }

}  // namespace pith::internal
