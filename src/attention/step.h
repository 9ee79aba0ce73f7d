// What the forms of attention get of a decoding step: its query, and the tiles of the ring that it sees.
#ifndef PITH_ATTENTION_STEP_H
#define PITH_ATTENTION_STEP_H

#include <cstdint>

#include "attention/query.h"
#include "cache/latent_ring.h"
#include "ground/trace.h"

namespace pith::internal {

// Neighbouring slots of one region, at most kTileSlots.
struct SlotTile {
  int32_t first;         // the lowest slot
  const int32_t* slots;  // [n] first, first + 1, ...
  int32_t n;
  Region region;
};

// The filled slots of a ring, tile by tile: the pinned ones, then the window. Tiles begin at the same slots whatever is
// filled, so that sums have the same order in every form and for every chunking.
class RingTiles {
 public:
  void lay_out(const Setup& setup, Arena* arena);

  // The ring holds n_tokens tokens, the newest included.
  void set(const LatentRing& ring, uint64_t n_tokens);

  static int32_t max_tiles(const Plan& plan);
  int32_t n() const { return n_pinned_tiles_ + quotient_up(n_filled_ - n_pinned_, kTileSlots); }
  SlotTile at(int32_t index) const;

 private:
  int32_t* all_slots_ = nullptr;  // [capacity] 0, 1, 2, ...
  int32_t n_keep_ = 0;
  int32_t n_filled_ = 0, n_pinned_ = 0, n_pinned_tiles_ = 0;
};

struct Step {
  RotatedQuery window, pinned;  // the query, as the regions see it
  RingTiles tiles;
  [[no_unique_address]] Trace trace;

  const RotatedQuery& query(Region region) const { return region == Region::pinned ? pinned : window; }
};

}  // namespace pith::internal

#endif
