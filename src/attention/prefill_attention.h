// Attention of a chunk of a prompt in one layer. Keys and values of the cached tokens and of the chunk's own are
// materialised, span by span, and every query takes them in tile by tile, in the order and with the arithmetic of
// MaterialisedAttention and HeadAttention: to the same bits.
//
// Where queries and keys are int8, 64 queries of one head lie in vector lanes and a tile is a matrix product; otherwise
// (float32 activations or cache: for parity) queries come one by one, all heads together, as in decoding.
#ifndef PITH_ATTENTION_PREFILL_ATTENTION_H
#define PITH_ATTENTION_PREFILL_ATTENTION_H

#include <cstdint>

#include "attention/tile_attention.h"
#include "ground/trace.h"
#include "attention/key_tiles.h"
#include "layers/rotary.h"
#include "attention/running_softmax.h"
#include "cache/kv_cache.h"
#include "layers/part.h"

namespace pith::internal {

class PrefillAttention : Part {
 public:
  void lay_out(const Setup& setup, const KvCache& cache, const AngleTable& angles, Arena* arena);

  // After the cache has begun the chunk.
  void begin(const Chunk& chunk);

  // A token of the chunk: its query [n_h, d_n + d_r], not rotated yet, and what KvCache::store gave. Several threads at
  // the same time.
  void set_token(int32_t layer, int32_t token, const float* query, float scale, int32_t thread);

  // After set_token() and KvCache::store() of all tokens.
  void attend(int32_t layer);

  // The heads' outputs of a token: out [n_h d_v].
  void load(int32_t token, float* out) const;

  void set_trace(const Trace& trace) { trace_ = trace; }  // of a traced build

 private:
  static constexpr int32_t kQueries = 64;  // in vector lanes

  // What one thread needs.
  struct Scratch {
    Row rows;  // [kTileSlots] on their way; latent attention
    RotatedQuery query;
    RunningSoftmax part;  // of one tile: kQueries queries, without out, or all heads of one
    float* factor;        // [3, lanes]
    // 64 queries of a head
    int32_t* dots;    // [kTileRows, kQueries]
    float* scores;    // [kTileRows, kQueries], then the weights
    uint8_t* p;       // [kTileRows / 4, kQueries] quads: those rounded
    float* steps;     // [kQueries]: what a step of p is
    uint8_t* values;  // [kTileRows / 4, value] quads
    // one query
    TileScratch tile;     // kTileSlots tokens
    StoredScales scales;  // likewise; MHA
    int32_t* index;       // [kTileSlots]: rows of the span
    int32_t* slots;       // [kTileSlots]: of the ring
  };
  // int8 queries of every head in the layout of kernels.matmul_i8_i32, 64 to a matrix, and their scales.
  struct PackedQueries {
    uint8_t* q;  // [n_h, n_query_tiles][8 panels][blocks][4][8][8]
    float* d;    // [n_h, n_query_tiles, kQueries]
    int32_t blocks;
  };

  void lay_out_integers(Arena* arena);
  void lay_out_floats(Arena* arena);
  void lay_out_scratch(const Setup& setup, Arena* arena);
  void reset();
  void materialise_rows(int32_t layer, const KeySpan& span, const int32_t* order, int32_t n, int32_t thread);
  void copy_rows(int32_t layer, const KeySpan& span, const int32_t* order, int32_t n);
  void place_row(const KeySpan& span, int32_t row, Row from);
  void place_rope(int32_t layer, const KeySpan& span, int32_t row);
  void place_heads(int32_t layer, const KeySpan& span, int32_t row);
  void pack(const PackedQueries& packed, int32_t i, const int8_t* q, const float* d);
  size_t query_at(int32_t head, int32_t query) const;
  float* out_of(int32_t head, int32_t query) const;
  void attend_head(int32_t layer, const KeySpan& span, int32_t head, int32_t query_tile, const Scratch& s);
  void multiply(const PackedQueries& queries, size_t at, const int8_t* keys, int32_t n, int32_t lanes,
                const Scratch& s);
  void hide(const KeyTile& tile, int32_t first, int32_t lanes, float* scores) const;
  void attend_query(int32_t layer, const KeySpan& span, int32_t query, Scratch& s);
  inline void trace_row(int32_t layer, int32_t token, Row row, int32_t thread) const;
  inline void trace_scores(int32_t layer, int32_t head, int32_t first, const KeyTile& tile, int32_t lanes,
                           const float* scores) const;

  const KvCache* cache_ = nullptr;
  const AngleTable* angles_ = nullptr;
  bool is_rounded_ = true;
  int32_t n_query_tiles_ = 0;
  int32_t content_ = 0, rope_ = 0, value_ = 0;  // padded widths of a head
  KeyTiles tiles_;
  Scratch* scratch_ = nullptr;   // [max_threads]
  float* scales_ = nullptr;      // [chunk]: CachedToken::scale
  float* out_ = nullptr;         // [value] of every head and query, as query_at() orders them: sums so far
  float* max_ = nullptr;         // is_rounded: likewise; otherwise [chunk, lanes of heads]
  float* sum_ = nullptr;         // likewise
  int32_t* identity_ = nullptr;  // [kSpanRows] 0, 1, 2, ...
  int32_t n_ = 0;                // tokens of this chunk

  // is_rounded
  PackedQueries packed_content_{}, packed_rope_[2] = {};  // rope as the window and as pinned tokens see it
  int8_t* keys_ = nullptr;                                // [n_kv, kSpanRows, content]; MHA: [.., rope]
  int8_t* values_ = nullptr;                              // [n_kv, kSpanRows, value]
  float* key_scales_ = nullptr;                           // [n_kv, kSpanRows]
  float* value_scales_ = nullptr;                         // [n_kv, kSpanRows]
  int8_t* rope_keys_ = nullptr;                           // [kSpanRows, rope]; latent attention
  float* rope_scales_ = nullptr;                          // [kSpanRows]

  // otherwise
  float* queries_ = nullptr;  // [chunk, n_h (d_n + d_r)]
  Row span_rows_{};           // [kSpanRows]; latent attention

  [[no_unique_address]] Trace trace_;
};

}  // namespace pith::internal

#endif
