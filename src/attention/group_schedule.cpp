#include "attention/group_schedule.h"

namespace pith::internal {
namespace {

// What tiles cost, in units of some 40 ns on a current core: a token that is read, a group whose gate is absorbed, one
// whose gate is computed first, a token that is materialised. Only their proportions matter, and they only balance
// threads.
constexpr int64_t kTokenCost = 2, kSegmentCost = 50, kGateCost = 250, kMaterialisedCost = 150;
constexpr int64_t kSplitCost =
    200;  // at least, of a split: some 8 us, below which another thread's joining does not pay

// Groups without a row of more tokens have their gate absorbed: beyond, that costs less than materialising every token.
constexpr int32_t kMaxMaterialised = 4;

constexpr int32_t kRowTileTokens = kTileSlots;  // of a tile of rows

}  // namespace

void GroupSchedule::lay_out(const Setup& setup, const TokenGroups& groups, Arena* arena) {
  groups_ = &groups;
  n_keep_ = setup.plan.n_keep;
  const size_t capacity = size_t(setup.plan.capacity);
  slots_ = arena->take<int32_t>(capacity);
  rows_ = arena->take<int32_t>(capacity);
  segments_ = arena->take<GroupSegment>(capacity);
  // Rows fill tiles of 64, with two left over; of two neighbouring absorbed tiles one has 16 groups or both together
  // 512 tokens.
  tiles_ = arena->take<GroupTile>(capacity / 8 + 16);
}

void GroupSchedule::arrange() {
  n_tokens_ = n_segments_ = n_tiles_ = 0;
  for (const Region region : {Region::window, Region::pinned}) {
    if (region == Region::pinned && n_keep_ == 0) continue;
    order_absorbed(region);
    order_materialised(region);
    order_pooled(region);
  }
  cut_splits();
}

GroupTile* GroupSchedule::open_tile(TileSource source, Region region) {
  GroupTile* tile = &tiles_[n_tiles_++];
  *tile = {source, region, n_tokens_, 0, n_segments_, 0};
  return tile;
}

// Tokens that the queries are absorbed for, group by group; a group is cut only if it is larger than a tile.
void GroupSchedule::order_absorbed(Region region) {
  GroupTile* tile = nullptr;
  for (const GroupKind kind : {GroupKind::gate, GroupKind::none}) {
    for (int32_t g = groups_->first_group(kind); g >= 0; g = groups_->next_group(g)) {
      const int32_t count = groups_->group_count(g), whole = count < kMaxTokens ? count : kMaxTokens;
      if (kind == GroupKind::none && count <= kMaxMaterialised) continue;
      GroupSegment* segment = nullptr;
      for (int32_t slot = groups_->group_first_slot(g); slot >= 0; slot = groups_->next_slot(slot)) {
        if (region_of(slot) != region) continue;
        const bool starts = segment == nullptr;
        if (tile == nullptr || tile->n == kMaxTokens ||
            (starts && (tile->n_segments == kMaxSegments || tile->n + whole > kMaxTokens))) {
          tile = open_tile(TileSource::absorbed, region);
          segment = nullptr;
        }
        if (segment == nullptr) {
          segment = &segments_[n_segments_++];
          *segment = {groups_->group_id(g), groups_->group_gate_row(g), n_tokens_, 0};
          ++tile->n_segments;
        }
        slots_[n_tokens_++] = slot;
        ++segment->n;
        ++tile->n;
      }
    }
  }
}

// Tokens of small groups that own nothing.
void GroupSchedule::order_materialised(Region region) {
  GroupTile* tile = nullptr;
  for (int32_t g = groups_->first_group(GroupKind::none); g >= 0; g = groups_->next_group(g)) {
    if (groups_->group_count(g) > kMaxMaterialised) return;  // in ascending order
    for (int32_t slot = groups_->group_first_slot(g); slot >= 0; slot = groups_->next_slot(slot)) {
      if (region_of(slot) != region) continue;
      if (tile == nullptr || tile->n == kRowTileTokens) tile = open_tile(TileSource::materialised, region);
      slots_[n_tokens_++] = slot;
      ++tile->n;
    }
  }
}

// Tokens with rows, in the order in which the rows lie.
void GroupSchedule::order_pooled(Region region) {
  GroupTile* tile = nullptr;
  for (int32_t row = 0; row < groups_->n_rows(); ++row) {
    const int32_t slot = groups_->row_slot(row);
    if (slot < 0 || region_of(slot) != region) continue;
    if (tile == nullptr || tile->n == kRowTileTokens) tile = open_tile(TileSource::pooled, region);
    slots_[n_tokens_] = slot;
    rows_[n_tokens_++] = row;
    ++tile->n;
  }
}

void GroupSchedule::cut_splits() {
  const auto cost_of = [&](const GroupTile& tile) {
    int64_t cost = (tile.source == TileSource::materialised ? kMaterialisedCost : kTokenCost) * tile.n;
    cost += kSegmentCost * tile.n_segments;
    for (int32_t i = 0; i < tile.n_segments; ++i) {
      if (segments_[tile.first_segment + i].gate_row < 0) cost += kGateCost;
    }
    return cost;
  };
  int64_t total = 0;
  for (int32_t t = 0; t < n_tiles_; ++t) total += cost_of(tiles_[t]);
  const int64_t share = total / kMaxSplits > kSplitCost ? total / kMaxSplits : kSplitCost;
  n_splits_ = 0;
  int64_t cost = 0;
  for (int32_t t = 0; t < n_tiles_; ++t) {
    cost += cost_of(tiles_[t]);
    const bool is_last = t + 1 == n_tiles_;
    if (is_last || (cost >= share && n_splits_ + 1 < kMaxSplits)) {
      split_ends_[n_splits_++] = t + 1;
      cost = 0;
    }
  }
}

}  // namespace pith::internal
