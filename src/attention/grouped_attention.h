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
// Tokens of groups that hold rows are read from the pool instead. group_schedule.h orders them.
#ifndef PITH_ATTENTION_GROUPED_ATTENTION_H
#define PITH_ATTENTION_GROUPED_ATTENTION_H

#include <cstdint>

#include "attention/absorbed_keys.h"
#include "attention/group_schedule.h"
#include "attention/running_softmax.h"
#include "attention/step.h"
#include "attention/tile_attention.h"
#include "cache/kv_cache.h"
#include "layers/part.h"

namespace pith::internal {

class GroupedAttention : Part {
 public:
  void lay_out(const Setup& setup, const KvCache& cache, Arena* arena);

  // After the step's token has entered the cache: orders the tokens, for all layers.
  void begin() { schedule_.arrange(); }

  // out [n_h d_v]: the heads' outputs.
  void attend(int32_t layer, const Step& step, float* out);

 private:
  static constexpr int32_t kMaxSegments = GroupSchedule::kMaxSegments, kMaxTokens = GroupSchedule::kMaxTokens;

  // What one thread needs. R: r padded to 32.
  struct Scratch {
    TileScratch tile;
    Row rows;           // [kTileSlots]: of a tile that is materialised
    int8_t* products;   // [kMaxSegments, d_n padded]: q g, of one head
    float* product;     // [d_n padded]: q g, where it is not rounded
    float* product_d;   // [kMaxSegments, n_blocks]: their scales
    int32_t* dots;      // [kMaxSegments, R]
    int8_t* query;      // [kMaxSegments, n_latent_blocks, n_h, block width]: a, rounded
    float* query_d;     // [kMaxSegments, n_latent_blocks, lanes]
    float* query_x;     // [kMaxSegments, n_h, R]: a, where it is not rounded
    Columns sums;       // [n_h, kMaxSegments] columns of R: s; all but x of one head
    float* values;      // [kMaxSegments, d_v padded]: W_UV s
    float* widened;     // [d_n padded]: a head's gate
    float* rho;         // [2, kMaxTokens]: of keys and of values
    float* mean;        // [kMaxTokens]
    float* shift;       // [lanes]: what the means take off the outputs
    float* row_scales;  // [kMaxTokens]
    Row* gates;         // [kMaxSegments]: rows, and of each
    float* content_d;   // [kMaxSegments, lanes]: scales of its heads' content
    float* value_d;     // [kMaxSegments, lanes]: and of their values
    Row own_gates;      // [kMaxSegments]: room for those that no row of the pool holds
  };
  // A tile at work.
  struct Task {
    const RingLayer& ring;
    const GroupTile& tile;
    const int32_t* slots;          // [tile.n]
    const GroupSegment* segments;  // [tile.n_segments]
    QueryHeads query;
    const Scratch& s;
    const Materialiser::Scratch& materialiser_scratch;
  };

  void lay_out_scratch(Scratch* scratch, Arena* arena) const;
  void scale_query(int32_t layer, const Step& step);
  void attend_tile(const Task& task, RunningSoftmax* running) const;
  void attend_absorbed(const Task& task, RunningSoftmax* running) const;
  void load_gates(const Task& task) const;
  const float* gate_of(Row row, int32_t head, float scale, float* buffer) const;
  void absorb_integers(const Task& task) const;
  void absorb_floats(const Task& task) const;
  void load_scalars(const Task& task) const;
  void score(const Task& task) const;
  void sum_latents(const Task& task) const;
  void subtract_means(const Task& task, RunningSoftmax* running) const;
  void add_values(const Task& task, RunningSoftmax* running) const;
  HeadRows latents_of(const Task& task, const GroupSegment& segment, int32_t block, const float* rho) const;

  const KvCache* cache_ = nullptr;
  const LatentRing* ring_ = nullptr;
  const RowPool* pool_ = nullptr;
  const Materialiser* materialiser_ = nullptr;
  bool is_integer_ = true;       // queries are absorbed by integer products
  int32_t n_latent_blocks_ = 1;  // of a latent
  int32_t latent_stride_ = 0;    // R

  GroupSchedule schedule_;
  AbsorbedKeys keys_;
  SoftmaxSplits splits_;
  float* scaled_query_ = nullptr;  // [n_h, n_blocks, d_n padded]: q d
  float* query_sums_ = nullptr;    // [lanes]: -sum_j q_hj
  Scratch* scratch_ = nullptr;     // [max_threads]
};

}  // namespace pith::internal

#endif
