// Attention of gated models over tokens grouped by id, exact and without keys and values of their own (design: "EG-MLA
// decode"). Per head h and group of id v, with gate g_v, on the latents c_t as they are cached:
//
//   a     = W_UK_h^T (q_h g_v,h)                                  once per group            [r]
//   score = rho_t (a . c_t) + q^R_h . k^R_t - (sum_j q_hj) mean_t
//   s     = sum over the group of p_t,h rho_t c_t                                           [r]
//   out_h = sum_v g_v,h (W_UV_h s) - sum_t p_t,h mean_t
//
// where mean_t is what norm_g subtracts from the token, as the ring keeps it.
//
// Tokens of groups that hold finished rows are read from the pool instead. The tokens are cut into blocks, blocks into
// pieces; both follow from the groups alone, so that results do not depend on threads.
#ifndef PITH_ATTENTION_GROUPED_ATTENTION_H
#define PITH_ATTENTION_GROUPED_ATTENTION_H

#include <cstdint>

#include "attention/absorbed_keys.h"
#include "attention/tile_attention.h"
#include "cache/kv_cache.h"

namespace pith::internal {

class GroupedAttention {
 public:
  static constexpr int32_t kMaxPieces = 16;
  static constexpr int32_t kMaxSegments = 16;  // groups of a block: columns of its integer products
  static constexpr int32_t kMaxTokens = 512;   // of a block

  void lay_out(const Config& config, const Plan& plan, const Weights& weights, const KvCache& cache, Arena* arena);

  // Orders the cached tokens: once per token, for all layers.
  void schedule();
  int32_t n_pieces() const { return n_pieces_; }

  // The layer's query, before its pieces run. window and pinned: as the two parts of the ring see it; content [n_h]
  // rows of `stride`.
  void begin_layer(int32_t layer, const QueryHeads& window, const QueryHeads& pinned);

  // Tokens of one piece; several threads at the same time.
  void run_piece(int32_t piece, const TileScratch& block, const Materialiser::Scratch& materialiser_scratch, Row tile,
                 int32_t thread, RunningSoftmax* running) const;

 private:
  // Tokens of one group within a block.
  struct Segment {
    int32_t id, gate_row;  // -1: the gate must be computed
    int32_t first, n;      // into slots_
  };
  enum class Source : uint8_t { groups, rows, recomputed };
  struct Block {
    Source source;
    bool is_pinned;
    int32_t first, n;                   // into slots_
    int32_t first_segment, n_segments;  // groups only
  };
  // What one thread needs for the groups of a block. R: r padded to 32.
  struct Scratch {
    int8_t* products;   // [kMaxSegments, d_n padded]: q g, of one head
    float* product;     // [d_n padded]: q g, where it is not rounded
    float* product_d;   // [kMaxSegments, n_blocks]: their scales
    int32_t* dots;      // [kMaxSegments, R]
    int8_t* query;      // [kMaxSegments, n_parts, n_h, part width]: a, rounded
    float* query_d;     // [kMaxSegments, n_parts, lanes]
    float* query_x;     // [kMaxSegments, n_h, R]: a, where it is not rounded
    Columns sums;       // [n_h, kMaxSegments] columns of R: s; all but x of one head
    float* values;      // [kMaxSegments, d_v padded]: W_UV s
    float* part;        // [d_n padded]: numbers widened from a row
    float* rho;         // [2, kMaxTokens]: of keys and of values
    float* mean;        // [kMaxTokens]
    float* shift;       // [lanes]: what the means take off the outputs
    float* row_scales;  // [kMaxTokens]
    Row* rows;          // [kMaxSegments]: gates of this block, and of each
    float* content_d;   // [kMaxSegments, lanes]: scales of its heads' content
    float* value_d;     // [kMaxSegments, lanes]: and of their values
    Row own_rows;       // [kMaxSegments]: room for those that no row of the pool holds
  };

  void lay_out_scratch(Scratch* scratch, Arena* arena) const;
  void order_groups(bool is_pinned);
  void order_recomputed(bool is_pinned);
  void order_rows(bool is_pinned);
  Block* open_block(Source source, bool is_pinned);
  void cut_pieces();
  bool is_pinned(int32_t slot) const { return slot < ring_->n_keep(); }
  const float* gate_of(Row row, int32_t head, float scale, float* buffer) const;

  void attend_groups(const Block& block, const QueryHeads& query, const TileScratch& block_scratch,
                     const Materialiser::Scratch& materialiser_scratch, const Scratch& s,
                     RunningSoftmax* running) const;
  void load_gates(const Block& block, const Materialiser::Scratch& materialiser_scratch, const Scratch& s) const;
  void absorb_integers(const Block& block, const Scratch& s) const;
  void absorb_floats(const Block& block, const QueryHeads& query, const Scratch& s) const;
  void load_scalars(const Block& block, const TileScratch& block_scratch, const Scratch& s) const;
  void score(const Block& block, const TileScratch& block_scratch, const Scratch& s) const;
  void sum_latents(const Block& block, const TileScratch& block_scratch, const Scratch& s) const;
  void subtract_means(const Block& block, const TileScratch& block_scratch, const Scratch& s,
                      RunningSoftmax* running) const;
  void add_values(const Block& block, const Scratch& s, RunningSoftmax* running) const;
  HeadRows latents_of(const Segment& segment, int32_t part, const float* rho, const Scratch& s) const;

  const Config* config_ = nullptr;
  const Weights* weights_ = nullptr;
  const Kernels* kernels_ = nullptr;
  const KvCache* cache_ = nullptr;
  const LatentRing* ring_ = nullptr;
  const TokenGroups* groups_ = nullptr;
  const RowPool* pool_ = nullptr;
  const Materialiser* materialiser_ = nullptr;
  bool cache_i8_ = true, activations_i8_ = true;
  bool is_integer_ = true;     // queries are absorbed by integer products
  int32_t n_parts_ = 1;        // of a latent: pieces with a scale of their own
  int32_t latent_stride_ = 0;  // R

  AbsorbedKeys keys_;
  int32_t* slots_ = nullptr;     // [capacity] tokens, in the order of the blocks
  int32_t* rows_ = nullptr;      // [capacity] their rows in the pool, in blocks of rows
  Segment* segments_ = nullptr;  // [capacity]
  Block* blocks_ = nullptr;      // [max_blocks]
  int32_t piece_ends_[kMaxPieces] = {};
  int32_t n_tokens_ = 0, n_segments_ = 0, n_blocks_ = 0, n_pieces_ = 0;
  int32_t max_blocks_ = 0;

  int32_t layer_ = 0;
  QueryHeads window_{}, pinned_{};
  float* scaled_query_ = nullptr;  // [n_h, n_blocks, d_n padded]: q d
  float* query_sums_ = nullptr;    // [lanes]: -sum_j q_hj
  Scratch* scratch_ = nullptr;     // [max_threads]
};

}  // namespace pith::internal

#endif
