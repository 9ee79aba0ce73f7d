// What a chunk of a prompt attends to: the cached tokens and its own, in tiles of 64 slots as decoding has them, so that
// sums have the same order. A slot that a token of the chunk takes over counts twice: as it is for the tokens before that
// one, and as it will be for those from it on. Found once for all layers, from positions and ids alone.
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
  int32_t pool_row;   // that holds it finished; -1: none
  int32_t from, to;   // the chunk's tokens [from, to) see it
};

struct KeyTile {
  int32_t first, n;  // rows
  bool is_pinned;
  int32_t from, to;          // tokens [from, to) see some of it
  int32_t all_from, all_to;  // tokens [all_from, all_to) see all of it
};

// Neighbouring tiles whose keys and values exist at the same time.
struct KeyBlock {
  int32_t first_row, n_rows;
  int32_t first_tile, n_tiles;
  int32_t n_computed;  // rows that are not in the pool: first in order()
};

class KeyTiles {
 public:
  static constexpr int32_t kTileRows = 2 * kTileSlots;
  static constexpr int32_t kBlockRows = 8 * kTileSlots;

  void lay_out(const Plan& plan, Arena* arena);

  // The chunk `ids` [n], from `position` on: n <= plan.chunk.
  void schedule(const KvCache& cache, uint64_t position, const int32_t* ids, int32_t n);

  int32_t n_blocks() const { return n_blocks_; }
  const KeyBlock& block(int32_t i) const { return blocks_[i]; }
  const KeyTile& tile(int32_t i) const { return tiles_[i]; }
  const KeyRow& row(int32_t i) const { return rows_[i]; }

  // The rows of a block [n_rows]: those to be computed first, tokens of one id together.
  const int32_t* order(const KeyBlock& block) const { return order_ + block.first_row; }

 private:
  void add_tile(const KvCache& cache, uint64_t position, const int32_t* ids, int32_t n, int32_t first, int32_t last,
                bool is_pinned);
  void cut_blocks();

  int32_t capacity_ = 0, n_keep_ = 0;
  KeyRow* rows_ = nullptr;      // [capacity + chunk]
  int32_t* order_ = nullptr;    // [capacity + chunk]
  KeyTile* tiles_ = nullptr;    // [max_tiles]
  KeyBlock* blocks_ = nullptr;  // [max_tiles]
  int32_t n_rows_ = 0, n_tiles_ = 0, n_blocks_ = 0;
};

}  // namespace pith::internal

#endif
