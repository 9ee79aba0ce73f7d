#include "attention/key_tiles.h"

#include <algorithm>

namespace pith::internal {
namespace {

// Which of n tokens from `position` on goes into `slot`; n: none. n is at most the ring's window, so that it is one.
int32_t chunk_index(int32_t slot, uint64_t position, int32_t n, int32_t capacity, int32_t n_keep) {
  uint64_t at = uint64_t(slot);
  if (at < position) {
    if (slot < n_keep) return n;
    const uint64_t window = uint64_t(capacity - n_keep);
    at += (position - at + window - 1) / window * window;
  }
  return at - position < uint64_t(n) ? int32_t(at - position) : n;
}

}  // namespace

void KeyTiles::lay_out(const Plan& plan, Arena* arena) {
  capacity_ = plan.capacity;
  n_keep_ = plan.n_keep;
  const size_t rows = size_t(plan.capacity) + size_t(plan.chunk);
  const size_t tiles = size_t(plan.capacity) / size_t(kTileSlots) + 2;  // pinned slots and the window end one each
  rows_ = arena->take<KeyRow>(rows);
  order_ = arena->take<int32_t>(rows);
  tiles_ = arena->take<KeyTile>(tiles);
  blocks_ = arena->take<KeyBlock>(tiles);
}

void KeyTiles::schedule(const KvCache& cache, uint64_t position, const int32_t* ids, int32_t n) {
  n_rows_ = n_tiles_ = 0;
  const int32_t n_filled = cache.ring().n_filled(position + uint64_t(n)), n_pinned = std::min(n_filled, n_keep_);
  for (int32_t first = 0; first < n_pinned; first += kTileSlots)
    add_tile(cache, position, ids, n, first, std::min(first + kTileSlots, n_pinned), true);
  for (int32_t first = n_keep_; first < n_filled; first += kTileSlots)
    add_tile(cache, position, ids, n, first, std::min(first + kTileSlots, n_filled), false);
  cut_blocks();
}

void KeyTiles::add_tile(const KvCache& cache, uint64_t position, const int32_t* ids, int32_t n, int32_t first,
                        int32_t last, bool is_pinned) {
  const int32_t n_filled = cache.ring().n_filled(position);
  KeyTile tile{n_rows_, 0, is_pinned, n, 0, 0, n};
  const auto add = [&](const KeyRow& row) {
    rows_[n_rows_++] = row;
    tile = {tile.first,
            tile.n + 1,
            is_pinned,
            std::min(tile.from, row.from),
            std::max(tile.to, row.to),
            std::max(tile.all_from, row.from),
            std::min(tile.all_to, row.to)};
  };
  for (int32_t slot = first; slot < last; ++slot) {
    const int32_t taken_by = chunk_index(slot, position, n, capacity_, n_keep_);
    if (slot < n_filled && taken_by > 0) {
      const int32_t pool_row = cache.is_gated() ? cache.groups().row_of(slot) : -1;
      add({cache.token(slot), -1, pool_row, 0, taken_by});
    }
    if (taken_by == n) continue;
    const int32_t id = ids[taken_by];
    const CachedToken token{cache.ring().staged_slot(taken_by), cache.is_gated() ? id : -1,
                            cache.is_gated() ? cache.groups().gate_row_of(id) : -1, CachedToken::kIsNormed};
    add({token, taken_by, -1, taken_by, n});
  }
  if (tile.n > 0) tiles_[n_tiles_++] = tile;
}

void KeyTiles::cut_blocks() {
  n_blocks_ = 0;
  for (int32_t t = 0; t < n_tiles_; ++t) {
    const KeyTile& tile = tiles_[t];
    if (n_blocks_ == 0 || blocks_[n_blocks_ - 1].n_rows + tile.n > kBlockRows)
      blocks_[n_blocks_++] = {tile.first, 0, t, 0, 0};
    KeyBlock& block = blocks_[n_blocks_ - 1];
    block.n_rows += tile.n;
    ++block.n_tiles;
  }
  for (int32_t b = 0; b < n_blocks_; ++b) {
    KeyBlock& block = blocks_[b];
    int32_t* order = order_ + block.first_row;
    for (int32_t i = 0; i < block.n_rows; ++i) {
      order[i] = block.first_row + i;
      block.n_computed += rows_[order[i]].pool_row < 0;
    }
    std::sort(order, order + block.n_rows, [this](int32_t i, int32_t j) {
      const KeyRow &one = rows_[i], &other = rows_[j];
      if ((one.pool_row < 0) != (other.pool_row < 0)) return one.pool_row < 0;
      return one.token.id != other.token.id ? one.token.id < other.token.id : i < j;
    });
  }
}

}  // namespace pith::internal
