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
  spans_ = arena->take<KeySpan>(tiles);
}

void KeyTiles::schedule(const KvCache& cache, const Chunk& chunk) {
  n_rows_ = n_tiles_ = 0;
  const int32_t n_filled = cache.ring().n_filled(chunk.position + uint64_t(chunk.n));
  const int32_t n_pinned = std::min(n_filled, n_keep_);
  for (int32_t first = 0; first < n_pinned; first += kTileSlots)
    add_tile(cache, chunk, first, std::min(first + kTileSlots, n_pinned), Region::pinned);
  for (int32_t first = n_keep_; first < n_filled; first += kTileSlots)
    add_tile(cache, chunk, first, std::min(first + kTileSlots, n_filled), Region::window);
  cut_spans();
}

void KeyTiles::add_tile(const KvCache& cache, const Chunk& chunk, int32_t first, int32_t last, Region region) {
  const int32_t n_filled = cache.ring().n_filled(chunk.position), n = chunk.n;
  KeyTile tile{n_rows_, 0, region, n, 0, 0, n};
  const auto add = [&](const KeyRow& row) {
    rows_[n_rows_++] = row;
    tile = {tile.first,
            tile.n + 1,
            region,
            std::min(tile.from, row.from),
            std::max(tile.to, row.to),
            std::max(tile.all_from, row.from),
            std::min(tile.all_to, row.to)};
  };
  for (int32_t slot = first; slot < last; ++slot) {
    const int32_t taken_by = chunk_index(slot, chunk.position, n, capacity_, n_keep_);
    if (slot < n_filled && taken_by > 0) {
      const int32_t pool_row = cache.is_gated() ? cache.groups().row_of(slot) : -1;
      add({cache.token(slot), -1, pool_row, 0, taken_by});
    }
    if (taken_by < n) add({cache.chunk_token(taken_by), taken_by, -1, taken_by, n});
  }
  if (tile.n > 0) tiles_[n_tiles_++] = tile;
}

void KeyTiles::cut_spans() {
  n_spans_ = 0;
  for (int32_t t = 0; t < n_tiles_; ++t) {
    const KeyTile& tile = tiles_[t];
    if (n_spans_ == 0 || spans_[n_spans_ - 1].n_rows + tile.n > kSpanRows)
      spans_[n_spans_++] = {tile.first, 0, t, 0, 0};
    KeySpan& span = spans_[n_spans_ - 1];
    span.n_rows += tile.n;
    ++span.n_tiles;
  }
  for (int32_t b = 0; b < n_spans_; ++b) {
    KeySpan& span = spans_[b];
    int32_t* order = order_ + span.first_row;
    for (int32_t i = 0; i < span.n_rows; ++i) {
      order[i] = span.first_row + i;
      span.n_missing += rows_[order[i]].pool_row < 0;
    }
    std::sort(order, order + span.n_rows, [this](int32_t i, int32_t j) {
      const KeyRow &one = rows_[i], &other = rows_[j];
      if ((one.pool_row < 0) != (other.pool_row < 0)) return one.pool_row < 0;
      return one.token.id != other.token.id ? one.token.id < other.token.id : i < j;
    });
  }
}

}  // namespace pith::internal
