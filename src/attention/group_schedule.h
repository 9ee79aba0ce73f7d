// The order in which a step of grouped attention takes the cached tokens: by what they are read from, tile by tile, and
// the tiles in splits that threads share. It follows from the groups of ids alone, so that results do not depend on
// threads; found once per step, for all layers.
#ifndef PITH_ATTENTION_GROUP_SCHEDULE_H
#define PITH_ATTENTION_GROUP_SCHEDULE_H

#include <cstdint>

#include "cache/token_groups.h"
#include "ground/arena.h"
#include "layers/rotary.h"

namespace pith::internal {

// Tokens of one group within a tile.
struct GroupSegment {
  int32_t id, gate_row;  // -1: the gate must be computed
  int32_t first, n;      // into the schedule's slots
};

// What a tile's tokens are read from.
enum class TileSource : uint8_t {
  absorbed,     // latents; their groups' gates are in the query
  pooled,       // rows of the pool
  materialised  // rows that are materialised on the way
};

struct GroupTile {
  TileSource source;
  Region region;
  int32_t first, n;                   // into the schedule's slots
  int32_t first_segment, n_segments;  // absorbed only
};

class GroupSchedule {
 public:
  static constexpr int32_t kMaxSplits = 16;
  static constexpr int32_t kMaxSegments = 16;  // groups of a tile: columns of its integer products
  static constexpr int32_t kMaxTokens = 512;   // of a tile

  void lay_out(const Setup& setup, const TokenGroups& groups, Arena* arena);

  void arrange();

  // Split i: tiles [first_tile(i), first_tile(i + 1)).
  int32_t n_splits() const { return n_splits_; }
  int32_t first_tile(int32_t split) const { return split == 0 ? 0 : split_ends_[split - 1]; }
  const GroupTile& tile(int32_t i) const { return tiles_[i]; }
  bool has_segments() const { return n_segments_ > 0; }

  const int32_t* slots(const GroupTile& tile) const { return slots_ + tile.first; }     // [tile.n]
  const int32_t* pool_rows(const GroupTile& tile) const { return rows_ + tile.first; }  // [tile.n]; pooled
  const GroupSegment* segments(const GroupTile& tile) const { return segments_ + tile.first_segment; }

 private:
  void order_absorbed(Region region);
  void order_materialised(Region region);
  void order_pooled(Region region);
  GroupTile* open_tile(TileSource source, Region region);
  void cut_splits();
  Region region_of(int32_t slot) const { return slot < n_keep_ ? Region::pinned : Region::window; }

  const TokenGroups* groups_ = nullptr;
  int32_t n_keep_ = 0;
  int32_t* slots_ = nullptr;          // [capacity] tokens, in the order of the tiles
  int32_t* rows_ = nullptr;           // [capacity] their rows in the pool, in pooled tiles
  GroupSegment* segments_ = nullptr;  // [capacity]
  GroupTile* tiles_ = nullptr;        // [capacity / 8 + 16]
  int32_t split_ends_[kMaxSplits] = {};
  int32_t n_tokens_ = 0, n_segments_ = 0, n_tiles_ = 0, n_splits_ = 0;
};

}  // namespace pith::internal

#endif
