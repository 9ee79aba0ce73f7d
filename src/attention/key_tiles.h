// What a chunk of a prompt attends to: the cached tokens and its own, in tiles of 64 slots as decoding has them, so
// that sums have the same order. Found once for all layers, from positions and ids alone.
//
// A slot that a token of the chunk takes over counts twice: as it is for the tokens before that one, and as it will be
// for those from it on. With capacity 8, n_keep 0, and a chunk of the 3 tokens at positions 10, 11, 12 (numbers 0, 1,
// 2):
//
//   slot                    0    1    2       3       4       5    6    7
//   holds position          8    9    2       3       4       5    6    7
//   and will hold                     10      11      12
//   rows: position,         8    9    2       3       4       5    6    7
//         seen by tokens    0-2  0-2  -       0       0-1     0-2  0-2  0-2
//         position                    10      11      12
//         seen by tokens              0-2     1-2     2
//
// (2 is seen by none: 10, the first of them, has its slot.) So a tile has up to 128 rows. Rows lie in the order of
// slots, an old token before the one that takes its slot over.
#ifndef PITH_ATTENTION_KEY_TILES_H
#define PITH_ATTENTION_KEY_TILES_H

#include <cstdint>

#include "ground/arena.h"
#include "model/plan.h"
#include "cache/kv_cache.h"

namespace pith::internal {

// One key, with its value.
struct KeyRow {
  CachedToken token;  // without its scale
  int32_t staged;     // its number in the chunk; -1: an older token
  int32_t pool_row;   // that holds it; -1: none
  int32_t from, to;   // the chunk's tokens [from, to) see it
};

struct KeyTile {
  int32_t first, n;  // rows
  Region region;
  int32_t from, to;          // tokens [from, to) see some of it
  int32_t all_from, all_to;  // tokens [all_from, all_to) see all of it
};

// Neighbouring tiles whose keys and values exist at the same time.
struct KeySpan {
  int32_t first_row, n_rows;
  int32_t first_tile, n_tiles;
  int32_t n_missing;  // rows that are not in the pool: first in order()
};

class KeyTiles {
 public:
  static constexpr int32_t kTileRows = 2 * kTileSlots;
  static constexpr int32_t kSpanRows = 8 * kTileSlots;

  void lay_out(const Plan& plan, Arena* arena);

  // After the cache has begun the chunk.
  void schedule(const KvCache& cache, const Chunk& chunk);

  int32_t n_spans() const { return n_spans_; }
  const KeySpan& span(int32_t i) const { return spans_[i]; }
  const KeyTile& tile(int32_t i) const { return tiles_[i]; }
  const KeyRow& row(int32_t i) const { return rows_[i]; }

  // The rows of a span [n_rows]: those to be materialised first, tokens of one id together.
  const int32_t* order(const KeySpan& span) const { return order_ + span.first_row; }

 private:
  void add_tile(const KvCache& cache, const Chunk& chunk, int32_t first, int32_t last, Region region);
  void cut_spans();

  int32_t capacity_ = 0, n_keep_ = 0;
  KeyRow* rows_ = nullptr;    // [capacity + chunk]
  int32_t* order_ = nullptr;  // [capacity + chunk]
  KeyTile* tiles_ = nullptr;  // [max_tiles]
  KeySpan* spans_ = nullptr;  // [max_tiles]
  int32_t n_rows_ = 0, n_tiles_ = 0, n_spans_ = 0;
};

}  // namespace pith::internal

#endif
