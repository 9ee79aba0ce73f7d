#include "prompt_attention.h"

#include <algorithm>
#include <cstring>

namespace pith {
namespace {

// The score of what a query does not see: its weight is exactly 0 beside any finite score. Not infinite, so that a tile
// of which it sees nothing has a largest score to subtract.
constexpr float kHidden = -3e38f;

constexpr int32_t kRunTokens = Expander::kMaxColumns;  // rows that one thread finishes at a time

}  // namespace

// ---- Memory
// ------------------------------------------------------------------------------------------------------------

void PromptAttention::lay_out(const Config& config, const Plan& plan, const Weights& weights, Team& team,
                              const TokenCache& cache, Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  team_ = &team;
  cache_ = &cache;
  plan_ = plan;
  is_rounded_ = plan.cache_i8 && plan.activations_i8;
  n_query_tiles_ = (plan.chunk + kQueries - 1) / kQueries;
  content_ = int32_t(padded_cols(config.content_width));
  rope_ = int32_t(padded_cols(config.rope_width));
  value_ = int32_t(padded_cols(config.value_width));
  tiles_.lay_out(plan, arena);
  const size_t chunk = size_t(plan.chunk);
  const size_t states = size_t(n_query_tiles_) * kQueries * size_t(padded_lanes(config.n_heads));
  scales_ = arena->take<float>(chunk);
  out_ = arena->take<float>(size_t(config.n_heads) * size_t(n_query_tiles_) * kQueries * size_t(value_));
  max_ = arena->take<float>(states);
  sum_ = arena->take<float>(states);
  identity_ = arena->take<int32_t>(PromptTiles::kBlockRows);
  for (int32_t i = 0; i < PromptTiles::kBlockRows && identity_ != nullptr; ++i) identity_[i] = i;
  if (is_rounded_) lay_out_integers(arena);
  else lay_out_floats(arena);
  lay_out_scratch(arena);
}

void PromptAttention::lay_out_integers(Arena* arena) {
  const Config& c = *config_;
  const size_t tiles = size_t(c.n_heads) * size_t(n_query_tiles_);
  const auto lay_out = [&](PackedQueries* packed, int32_t width) {
    packed->blocks = width / kBlockCols;
    packed->q = arena->take_zeros<uint8_t>(tiles * kQueries * size_t(width));
    packed->d = arena->take_zeros<float>(tiles * kQueries);
  };
  if (!c.is_mha()) lay_out(&packed_content_, content_);
  lay_out(&packed_rope_[0], rope_);
  if (plan_.n_keep > 0) lay_out(&packed_rope_[1], rope_);
  const size_t rows = PromptTiles::kBlockRows, kv = size_t(c.is_mha() ? c.n_kv_heads : c.n_heads);
  keys_ = arena->take<int8_t>(kv * rows * size_t(c.is_mha() ? rope_ : content_));
  values_ = arena->take<int8_t>(kv * rows * size_t(value_));
  key_scales_ = arena->take<float>(kv * rows);
  value_scales_ = arena->take<float>(kv * rows);
  rope_keys_ = arena->take_zeros<int8_t>(c.is_mha() ? 0 : rows * size_t(rope_));
  rope_scales_ = arena->take<float>(c.is_mha() ? 0 : rows);
}

void PromptAttention::lay_out_floats(Arena* arena) {
  queries_ = arena->take<float>(size_t(plan_.chunk) * size_t(config_->query_width()));
  if (!config_->is_mha()) rows_ = take_rows(cache_->expander().rows(), PromptTiles::kBlockRows, arena);
}

void PromptAttention::lay_out_scratch(Arena* arena) {
  const Config& c = *config_;
  const size_t scores = size_t(PromptTiles::kTileRows) * kQueries, lanes = size_t(padded_lanes(c.n_heads));
  const auto part_of = [&](int32_t n_heads, int32_t n_sums, float* factor) {
    const size_t n = size_t(padded_lanes(n_heads));
    float* max = arena->take<float>(n);
    float* sum = arena->take<float>(n);
    float* out = n_sums > 0 ? arena->take<float>(size_t(n_sums) * size_t(value_)) : nullptr;
    return RunningSoftmax{max, sum, out, factor, n_heads, padded_lanes(n_heads), value_};
  };
  scratch_ = arena->take<Scratch>(size_t(plan_.max_threads));
  for (int32_t thread = 0; thread < plan_.max_threads; ++thread) {
    Scratch s{};
    if (!c.is_mha()) s.tile = take_rows(cache_->expander().rows(), kTileSlots, arena);
    s.query.lay_out(c, arena);
    if (is_rounded_) {
      s.dots = arena->take<int32_t>(scores);
      s.scores = arena->take<float>(scores);
      s.factor = arena->take<float>(3 * kQueries);
      s.part = part_of(kQueries, 0, s.factor);
    } else {
      s.angles.lay_out(c, arena);
      const int32_t widest = c.is_mha() ? c.value_width : c.kv_head_width();
      s.block.lay_out(kTileSlots, int32_t(lanes), std::max(widest, c.rope_width), arena);
      s.factor = arena->take<float>(3 * lanes);
      s.part = part_of(c.n_heads, c.n_heads, s.factor);
      s.rows = arena->take<int32_t>(kTileSlots);
      s.slots = arena->take<int32_t>(kTileSlots);
    }
    if (!arena->is_measuring()) scratch_[thread] = s;
  }
}

// ---- Queries
// -----------------------------------------------------------------------------------------------------------

void PromptAttention::begin_chunk(uint64_t position, const int32_t* ids, int32_t n) {
  position_ = position;
  n_ = n;
  tiles_.schedule(*cache_, position, ids, n);
}

void PromptAttention::set_token(int32_t i, const float* query, const Angles& angles, float scale, int32_t thread) {
  const Config& c = *config_;
  scales_[i] = scale;
  if (!is_rounded_) {
    std::memcpy(queries_ + size_t(i) * size_t(c.query_width()), query, sizeof(float) * size_t(c.query_width()));
    return;
  }
  RotatedQuery& rotated = scratch_[thread].query;
  for (int32_t pinned = 0; pinned < (plan_.n_keep > 0 ? 2 : 1); ++pinned) {
    rotated.set(*kernels_, c, query, angles, pinned == 1, true);
    pack(packed_rope_[pinned], i, rotated.rope, rotated.rope_d);
  }
  if (!c.is_mha()) pack(packed_content_, i, rotated.content, rotated.content_d);
}

// Of a head and query in out_, max_, sum_ and PackedQueries: queries of a head are neighbours.
size_t PromptAttention::query_at(int32_t head, int32_t query) const {
  return size_t(head) * size_t(n_query_tiles_) * kQueries + size_t(query);
}

float* PromptAttention::out_of(int32_t head, int32_t query) const {
  return out_ + query_at(head, query) * size_t(value_);
}

// q [n_h, 32 blocks] and d [n_h] of query i go into one row slot of its panel.
void PromptAttention::pack(const PackedQueries& packed, int32_t i, const int8_t* q, const float* d) {
  constexpr size_t kOctet = 8;
  const size_t width = size_t(packed.blocks) * kBlockCols, slot = size_t(kLaneOfRow[i % kPanelRows]);
  for (int32_t h = 0; h < config_->n_heads; ++h, q += width) {
    const size_t at = query_at(h, i);
    packed.d[at] = d[h];
    uint8_t* panel = packed.q + at / kPanelRows * kPanelRows * width + slot * kOctet;
    for (size_t j = 0; j < width; j += kOctet) std::memcpy(panel + j * kPanelRows, q + j, kOctet);
  }
}

// ---- Keys and values
// ---------------------------------------------------------------------------------------------------

void PromptAttention::run(int32_t layer) {
  const Config& c = *config_;
  const int32_t n_query_tiles = (n_ + kQueries - 1) / kQueries;
  reset();
  for (int32_t b = 0; b < tiles_.n_blocks(); ++b) {
    const KeyBlock& block = tiles_.block(b);
    const int32_t* order = tiles_.order(block);
    const int32_t n_computed = (block.n_computed + kRunTokens - 1) / kRunTokens;
    const int32_t n_copied = (block.n_rows - block.n_computed + kRunTokens - 1) / kRunTokens;
    const bool has_rows = is_rounded_ || !c.is_mha();  // otherwise keys are read from the ring
    const auto make_rows = [&](int32_t piece, int32_t thread) {
      const bool is_computed = piece < n_computed;
      const int32_t first = is_computed ? piece * kRunTokens : block.n_computed + (piece - n_computed) * kRunTokens;
      const int32_t n = std::min(kRunTokens, (is_computed ? block.n_computed : block.n_rows) - first);
      const Scratch& s = scratch_[thread];
      if (is_computed && !c.is_mha()) compute_rows(layer, block, order + first, n, s, thread);
      else copy_rows(layer, block, order + first, n);
    };
    if (has_rows) team_->run(n_computed + n_copied, false, make_rows);
    if (is_rounded_) {
      team_->run(c.n_heads * n_query_tiles, false, [&](int32_t piece, int32_t thread) {
        attend_head(block, piece / n_query_tiles, piece % n_query_tiles, scratch_[thread]);
      });
    } else {
      team_->run(n_, false,
                 [&](int32_t query, int32_t thread) { attend_query(layer, block, query, scratch_[thread]); });
    }
  }
}

// Nothing is attended to yet.
void PromptAttention::reset() {
  const size_t states = size_t(n_query_tiles_) * kQueries * size_t(padded_lanes(config_->n_heads));
  for (size_t i = 0; i < states; ++i) {
    max_[i] = -__builtin_inff();
    sum_[i] = 0;
  }
  for (int32_t h = 0; h < config_->n_heads; ++h)
    std::memset(out_of(h, 0), 0, sizeof(float) * size_t(n_) * size_t(value_));
}

void PromptAttention::compute_rows(int32_t layer, const KeyBlock& block, const int32_t* order, int32_t n,
                                   const Scratch& s, int32_t thread) {
  CachedToken tokens[kRunTokens] = {};
  for (int32_t i = 0; i < n; ++i) {
    const KeyRow& row = tiles_.row(order[i]);
    tokens[i] = row.token;
    if (row.staged >= 0) tokens[i].scale = scales_[row.staged];
  }
  const Expander& expander = cache_->expander();
  expander.finish_tokens(layer, tokens, n, cache_->pool(), cache_->expansion(thread), s.tile);
  for (int32_t i = 0; i < n; ++i) {
    const RowShape& shape = expander.rows();
    store_row(block, order[i], shape.at(s.tile, size_t(i)));
    if (is_rounded_) store_rope(layer, block, order[i]);
  }
}

// Rows that the pool holds, or that the ring of MHA does.
void PromptAttention::copy_rows(int32_t layer, const KeyBlock& block, const int32_t* order, int32_t n) {
  for (int32_t i = 0; i < n; ++i) {
    if (config_->is_mha()) {
      store_heads(layer, block, order[i]);
      continue;
    }
    store_row(block, order[i], cache_->pool().row(layer, tiles_.row(order[i]).pool_row));
    if (is_rounded_) store_rope(layer, block, order[i]);
  }
}

// A finished row takes its place in the block.
void PromptAttention::store_row(const KeyBlock& block, int32_t row, Row from) {
  const RowShape& shape = cache_->expander().rows();
  const size_t at = size_t(row - block.first_row), rows = PromptTiles::kBlockRows;
  if (!is_rounded_) {
    const Row to = shape.at(rows_, at);
    std::memcpy(to.first, from.first, shape.first_bytes);
    std::memcpy(to.second, from.second, shape.second_bytes);
    std::memcpy(to.scales, from.scales, shape.scales_bytes);
    return;
  }
  const size_t content = size_t(content_), value = size_t(value_);
  for (size_t h = 0; h < size_t(config_->n_heads); ++h) {
    std::memcpy(keys_ + (h * rows + at) * content, from.first + h * content, content);
    std::memcpy(values_ + (h * rows + at) * value, from.second + h * value, value);
    key_scales_[h * rows + at] = load_scale(from.scales, int32_t(h));
    value_scales_[h * rows + at] = load_scale(from.scales + shape.second_scales_at(), int32_t(h));
  }
}

void PromptAttention::store_rope(int32_t layer, const KeyBlock& block, int32_t row) {
  const LatentRing& ring = cache_->ring();
  const int32_t slot = tiles_.row(row).token.slot, at = row - block.first_row;
  std::memcpy(rope_keys_ + at * rope_, ring.second_of(layer) + ring.second_stride() * size_t(slot),
              size_t(config_->rope_width));
  ring.gather_scalars(layer, &slot, 1, ring.shape().second_scale_at(), 1, rope_scales_ + at, 1);
}

// MHA: keys and values of the ring take their place in the block.
void PromptAttention::store_heads(int32_t layer, const KeyBlock& block, int32_t row) {
  const LatentRing& ring = cache_->ring();
  const int32_t slot = tiles_.row(row).token.slot;
  const size_t at = size_t(row - block.first_row), rows = PromptTiles::kBlockRows, width = size_t(value_);
  const uint8_t* keys = ring.first_of(layer) + ring.first_stride() * size_t(slot);
  const uint8_t* values = ring.second_of(layer) + ring.second_stride() * size_t(slot);
  for (int32_t h = 0; h < config_->n_kv_heads; ++h) {
    const size_t to = size_t(h) * rows + at;
    std::memcpy(keys_ + to * width, keys + size_t(h) * width, width);
    std::memcpy(values_ + to * width, values + size_t(h) * width, width);
    ring.gather_scalars(layer, &slot, 1, h, 1, key_scales_ + to, 1);
    ring.gather_scalars(layer, &slot, 1, ring.shape().second_scale_at() + h, 1, value_scales_ + to, 1);
  }
}

// ---- 64 queries of one head
// --------------------------------------------------------------------------------------------

void PromptAttention::attend_head(const KeyBlock& block, int32_t head, int32_t query_tile, const Scratch& s) {
  const Config& c = *config_;
  const int32_t first = query_tile * kQueries, n_queries = std::min(kQueries, n_ - first);
  const int32_t lanes = padded_lanes(n_queries), kv = c.is_mha() ? head / (c.n_heads / c.n_kv_heads) : head;
  const size_t at = query_at(head, first), rows = size_t(kv) * PromptTiles::kBlockRows;
  RunningSoftmax part = s.part;
  part.n_heads = n_queries;
  part.lanes = lanes;
  RunningSoftmax whole{max_ + at, sum_ + at, out_of(head, first), s.factor, n_queries, lanes, value_};
  for (int32_t t = block.first_tile; t < block.first_tile + block.n_tiles; ++t) {
    const KeyTile& tile = tiles_.tile(t);
    if (tile.to <= first || tile.from >= first + n_queries) continue;
    const size_t row = size_t(tile.first - block.first_row), kv_row = rows + row;
    const PackedQueries& rotated = packed_rope_[tile.is_pinned ? 1 : 0];
    const float* key_scales = key_scales_ + kv_row;
    if (c.is_mha()) {
      multiply(rotated, at, keys_ + kv_row * size_t(rope_), tile.n, lanes, s);
      kernels_->set_scores(s.dots, rotated.d + at, key_scales, tile.n, lanes, s.scores);
    } else {
      multiply(packed_content_, at, keys_ + kv_row * size_t(content_), tile.n, lanes, s);
      kernels_->set_scores(s.dots, packed_content_.d + at, key_scales, tile.n, lanes, s.scores);
      multiply(rotated, at, rope_keys_ + row * size_t(rope_), tile.n, lanes, s);
      kernels_->add_scores(s.dots, rotated.d + at, rope_scales_ + row, tile.n, lanes, s.scores);
    }
    hide(tile, first, lanes, s.scores);
    part.reset_sum();
    kernels_->weigh_rows(s.scores, value_scales_ + kv_row, tile.n, lanes, part.max, part.sum);
    whole.add_sum(*kernels_, part);
    const GatheredRows values{values_ + kv_row * size_t(value_), size_t(value_), identity_};
    kernels_->blend_sums_i8(s.scores, size_t(lanes), n_queries, value_, values, tile.n, whole.keep(), whole.weight(),
                            whole.out, size_t(whole.width));
  }
}

// dots [n, lanes] of queries with n keys.
void PromptAttention::multiply(const PackedQueries& queries, size_t at, const int8_t* keys, int32_t n, int32_t lanes,
                               const Scratch& s) {
  const size_t width = size_t(queries.blocks) * kBlockCols;
  kernels_->matmul_i8_i32(queries.q + at * width, queries.blocks, lanes / kPanelRows, keys, n, s.dots, size_t(lanes));
}

// Takes what queries [first, first + lanes) do not see of a tile out of their scores [n, lanes].
void PromptAttention::hide(const KeyTile& tile, int32_t first, int32_t lanes, float* scores) const {
  if (tile.all_from <= first && tile.all_to >= std::min(first + lanes, n_)) return;
  for (int32_t i = 0; i < tile.n; ++i, scores += lanes) {
    const KeyRow& row = tiles_.row(tile.first + i);
    for (int32_t j = 0; j < std::min(row.from - first, lanes); ++j) scores[j] = kHidden;
    for (int32_t j = std::max(row.to - first, 0); j < lanes; ++j) scores[j] = kHidden;
  }
}

// ---- One query, all heads
// ----------------------------------------------------------------------------------------------

void PromptAttention::attend_query(int32_t layer, const KeyBlock& block, int32_t query, Scratch& s) {
  const Config& c = *config_;
  const int32_t lanes = padded_lanes(c.n_heads);
  s.angles.set(*kernels_, plan_, *weights_, position_ + uint64_t(query));
  RunningSoftmax whole{max_ + size_t(query) * size_t(lanes),
                       sum_ + size_t(query) * size_t(lanes),
                       out_of(0, query),
                       s.factor,
                       c.n_heads,
                       lanes,
                       n_query_tiles_ * kQueries * value_};
  for (int32_t t = block.first_tile; t < block.first_tile + block.n_tiles; ++t) {
    const KeyTile& tile = tiles_.tile(t);
    int32_t n = 0;
    for (int32_t i = tile.first; i < tile.first + tile.n; ++i) {
      const KeyRow& row = tiles_.row(i);
      if (query < row.from || query >= row.to) continue;
      s.rows[n] = i - block.first_row;
      s.slots[n++] = row.token.slot;
    }
    if (n == 0) continue;
    s.query.set(*kernels_, c, queries_ + size_t(query) * size_t(c.query_width()), s.angles, tile.is_pinned, false);
    RunningSoftmax part = s.part;
    part.reset();
    if (c.is_mha())
      attend_cached_heads(*kernels_, c, cache_->ring(), layer, s.slots, n, s.query.parts(c), s.block, &part);
    else
      attend_rows(*kernels_, c, cache_->ring(), layer, cache_->expander().rows(), rows_, s.rows, s.slots, n,
                  s.query.parts(c), s.block, &part);
    whole.add(*kernels_, part, c.value_width);
  }
}

void PromptAttention::load(int32_t i, float* out) const {
  const Config& c = *config_;
  for (int32_t h = 0; h < c.n_heads; ++h) {
    const size_t at = is_rounded_ ? query_at(h, i) : size_t(i) * size_t(padded_lanes(c.n_heads)) + size_t(h);
    kernels_->shift_scale(out_of(h, i), 0, 1.0f / sum_[at], c.value_width, out + h * c.value_width);
  }
}

}  // namespace pith
