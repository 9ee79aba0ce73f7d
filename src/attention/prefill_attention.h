// Attention of a chunk of a prompt in one layer. Keys and values of the cached tokens and of the chunk's own are made
// finished rows, block by block, and every query takes them in tile by tile, in the order and with the arithmetic of the
// forms `materialise` and `mha`: to the same bits.
//
// Where queries and keys are int8, 64 queries of one head lie in vector lanes and a tile is a matrix product; otherwise
// (float32 activations or cache: for parity) queries come one by one, all heads together, as in decoding.
#ifndef PITH_ATTENTION_PREFILL_ATTENTION_H
#define PITH_ATTENTION_PREFILL_ATTENTION_H

#include <cstdint>

#include "attention/tile_attention.h"
#include "ground/parallel.h"
#include "model/plan.h"
#include "attention/key_tiles.h"
#include "layers/rotary.h"
#include "attention/running_softmax.h"
#include "cache/kv_cache.h"

namespace pith::internal {

class PrefillAttention {
 public:
  void lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team, const KvCache& cache,
               Arena* arena);

  // The chunk `ids` [n], from `position` on.
  void begin_chunk(uint64_t position, const int32_t* ids, int32_t n);

  // Token i of the chunk: its query [n_h, d_n + d_r], not rotated yet, and what KvCache::stage gave. Several threads
  // at the same time.
  void set_token(int32_t i, const float* query, const Angles& angles, float scale, int32_t thread);

  // After set_token() and KvCache::stage() of all tokens.
  void run(int32_t layer);

  // The heads' outputs of token i: out [n_h d_v].
  void load(int32_t i, float* out) const;

 private:
  static constexpr int32_t kQueries = 64;  // in vector lanes

  // What one thread needs.
  struct Scratch {
    Row tile;  // [kTileSlots] finished rows on their way; latent attention
    RotatedQuery query;
    RunningSoftmax part;  // of one tile: kQueries queries, without out, or all heads of one
    float* factor;        // [3, lanes]
    // 64 queries of a head
    int32_t* dots;  // [kTileRows, kQueries]
    float* scores;  // [kTileRows, kQueries], then the weights
    // one query
    Angles angles;
    TileScratch block;  // kTileSlots tokens
    int32_t* rows;      // [kTileSlots]: into the block
    int32_t* slots;     // [kTileSlots]: of the ring
  };
  // int8 queries of every head in the layout of kernels.matmul_i8_i32, 64 to a matrix, and their scales.
  struct PackedQueries {
    uint8_t* q;  // [n_h, n_query_tiles][8 panels][blocks][4][8][8]
    float* d;    // [n_h, n_query_tiles, kQueries]
    int32_t blocks;
  };

  void lay_out_integers(Arena* arena);
  void lay_out_floats(Arena* arena);
  void lay_out_scratch(Arena* arena);
  void reset();
  void compute_rows(int32_t layer, const KeyBlock& block, const int32_t* order, int32_t n, const Scratch& s,
                    int32_t thread);
  void copy_rows(int32_t layer, const KeyBlock& block, const int32_t* order, int32_t n);
  void store_row(const KeyBlock& block, int32_t row, Row from);
  void store_rope(int32_t layer, const KeyBlock& block, int32_t row);
  void store_heads(int32_t layer, const KeyBlock& block, int32_t row);
  void pack(const PackedQueries& packed, int32_t i, const int8_t* q, const float* d);
  size_t query_at(int32_t head, int32_t query) const;
  float* out_of(int32_t head, int32_t query) const;
  void attend_head(const KeyBlock& block, int32_t head, int32_t query_tile, const Scratch& s);
  void multiply(const PackedQueries& queries, size_t at, const int8_t* keys, int32_t n, int32_t lanes,
                const Scratch& s);
  void hide(const KeyTile& tile, int32_t first, int32_t lanes, float* scores) const;
  void attend_query(int32_t layer, const KeyBlock& block, int32_t query, Scratch& s);

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  Team* team_ = nullptr;
  const KvCache* cache_ = nullptr;
  Plan plan_{};
  bool is_rounded_ = true;
  int32_t n_query_tiles_ = 0;
  int32_t content_ = 0, rope_ = 0, value_ = 0;  // padded widths of a head
  KeyTiles tiles_;
  Scratch* scratch_ = nullptr;   // [max_threads]
  float* scales_ = nullptr;      // [chunk]: CachedToken::scale
  float* out_ = nullptr;         // [value] of every head and query, as query_at() orders them: sums so far
  float* max_ = nullptr;         // is_rounded: likewise; otherwise [chunk, lanes of heads]
  float* sum_ = nullptr;         // likewise
  int32_t* identity_ = nullptr;  // [kBlockRows] 0, 1, 2, ...
  int32_t n_ = 0;                // tokens of this chunk
  uint64_t position_ = 0;

  // is_rounded
  PackedQueries packed_content_{}, packed_rope_[2] = {};  // rope as the window and as pinned tokens see it
  int8_t* keys_ = nullptr;                                // [n_kv, kBlockRows, content]; MHA: [.., rope]
  int8_t* values_ = nullptr;                              // [n_kv, kBlockRows, value]
  float* key_scales_ = nullptr;                           // [n_kv, kBlockRows]
  float* value_scales_ = nullptr;                         // [n_kv, kBlockRows]
  int8_t* rope_keys_ = nullptr;                           // [kBlockRows, rope]; latent attention
  float* rope_scales_ = nullptr;                          // [kBlockRows]

  // otherwise
  float* queries_ = nullptr;  // [chunk, n_h (d_n + d_r)]
  Row rows_{};                // [kBlockRows]; latent attention
};

}  // namespace pith::internal

#endif
