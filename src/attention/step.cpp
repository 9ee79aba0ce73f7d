#include "attention/step.h"

namespace pith::internal {

void RingTiles::lay_out(const Setup& setup, Arena* arena) {
  n_keep_ = setup.plan.n_keep;
  all_slots_ = arena->take<int32_t>(size_t(setup.plan.capacity));
  for (int32_t slot = 0; slot < setup.plan.capacity && all_slots_ != nullptr; ++slot) all_slots_[slot] = slot;
}

int32_t RingTiles::max_tiles(const Plan& plan) {
  return quotient_up(plan.n_keep, kTileSlots) + quotient_up(plan.capacity - plan.n_keep, kTileSlots);
}

void RingTiles::set(const LatentRing& ring, uint64_t n_tokens) {
  n_filled_ = ring.n_filled(n_tokens);
  n_pinned_ = std::min(n_filled_, n_keep_);
  n_pinned_tiles_ = quotient_up(n_pinned_, kTileSlots);
}

SlotTile RingTiles::at(int32_t index) const {
  const bool is_pinned = index < n_pinned_tiles_;
  const int32_t first = is_pinned ? index * kTileSlots : n_pinned_ + (index - n_pinned_tiles_) * kTileSlots;
  const int32_t left = (is_pinned ? n_pinned_ : n_filled_) - first;
  return {first, all_slots_ + first, std::min(left, kTileSlots), is_pinned ? Region::pinned : Region::window};
}

}  // namespace pith::internal
