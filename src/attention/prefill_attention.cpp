#include "attention/prefill_attention.h"

#include <algorithm>
#include <cstring>

namespace pith::internal {
namespace {

// The score of what a query does not see: its weight is exactly 0 beside any finite score. Not infinite, so that a tile
// of which it sees nothing has a largest score to subtract.
constexpr float kHidden = -3e38f;

constexpr int32_t kTaskRows = Materialiser::kMaxTokens;  // that one thread makes at a time

}  // namespace

// ---- Memory ----

void PrefillAttention::lay_out(const Setup& setup, const KvCache& cache, const AngleTable& angles, Arena* arena) {
  refer_to(setup);
  const Config& config = setup.config;
  const Plan& plan = setup.plan;
  cache_ = &cache;
  angles_ = &angles;
  is_rounded_ = has_integer_scores(plan);
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
  identity_ = arena->take<int32_t>(KeyTiles::kSpanRows);
  for (int32_t i = 0; i < KeyTiles::kSpanRows && identity_ != nullptr; ++i) identity_[i] = i;
  if (is_rounded_) lay_out_integers(arena);
  else lay_out_floats(arena);
  lay_out_scratch(setup, arena);
}

void PrefillAttention::lay_out_integers(Arena* arena) {
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
  const size_t rows = KeyTiles::kSpanRows, kv = size_t(c.is_mha() ? c.n_kv_heads : c.n_heads);
  keys_ = arena->take<int8_t>(kv * rows * size_t(c.is_mha() ? rope_ : content_));
  values_ = arena->take<int8_t>(kv * rows * size_t(value_));
  key_scales_ = arena->take<float>(kv * rows);
  value_scales_ = arena->take<float>(kv * rows);
  rope_keys_ = arena->take_zeros<int8_t>(c.is_mha() ? 0 : rows * size_t(rope_));
  rope_scales_ = arena->take<float>(c.is_mha() ? 0 : rows);
}

void PrefillAttention::lay_out_floats(Arena* arena) {
  queries_ = arena->take<float>(size_t(plan_.chunk) * size_t(config_->query_width()));
  if (!config_->is_mha()) span_rows_ = take_rows(cache_->row_shape(), KeyTiles::kSpanRows, arena);
}

void PrefillAttention::lay_out_scratch(const Setup& setup, Arena* arena) {
  const Config& c = *config_;
  const size_t scores = size_t(KeyTiles::kTileRows) * kQueries, lanes = size_t(padded_lanes(c.n_heads));
  const auto part_of = [&](int32_t n_heads, int32_t n_sums, float* factor) {
    const size_t n = size_t(padded_lanes(n_heads));
    float* max = arena->take<float>(n);
    float* sum = arena->take<float>(n);
    float* out = n_sums > 0 ? arena->take<float>(size_t(n_sums) * size_t(value_)) : nullptr;
    return RunningSoftmax{max, sum, out, factor, n_heads, padded_lanes(n_heads), value_};
  };
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    if (!c.is_mha()) s->rows = take_rows(cache_->row_shape(), kTileSlots, arena);
    s->query.lay_out(setup, arena);
    if (is_rounded_) {
      s->dots = arena->take<int32_t>(scores);
      s->scores = arena->take<float>(scores);
      s->p = arena->take<uint8_t>(scores / 4 * kQuadBytes);
      s->steps = arena->take<float>(kQueries);
      s->values = arena->take<uint8_t>(size_t(KeyTiles::kTileRows) / 4 * kQuadBytes * size_t(value_));
      s->factor = arena->take<float>(3 * kQueries);
      s->part = part_of(kQueries, 0, s->factor);
    } else {
      const int32_t widest = c.is_mha() ? c.value_width : c.kv_head_width();
      s->tile.lay_out(kTileSlots, int32_t(lanes), std::max(widest, c.rope_width), arena);
      if (c.is_mha()) s->scales.lay_out(kTileSlots, int32_t(lanes), arena);
      s->factor = arena->take<float>(3 * lanes);
      s->part = part_of(c.n_heads, c.n_heads, s->factor);
      s->index = arena->take<int32_t>(kTileSlots);
      s->slots = arena->take<int32_t>(kTileSlots);
    }
  });
}

// ---- Queries ----

void PrefillAttention::begin(const Chunk& chunk) {
  n_ = chunk.n;
  tiles_.schedule(*cache_, chunk);
}

void PrefillAttention::set_token(int32_t layer, int32_t token, const float* query, float scale, int32_t thread) {
  const Config& c = *config_;
  const Angles angles = angles_->of(token);
  RotatedQuery& rotated = scratch_[thread].query;
  scales_[token] = scale;
  if (is_rounded_ || trace_.is_on()) rotated.set(query, angles, Region::window);
  trace_.tensor("q", layer, token, rotated.x, c.query_width());
  if (!is_rounded_) {
    std::memcpy(queries_ + size_t(token) * size_t(c.query_width()), query, sizeof(float) * size_t(c.query_width()));
    return;
  }
  pack(packed_rope_[0], token, rotated.rope, rotated.rope_d);
  if (!c.is_mha()) pack(packed_content_, token, rotated.content, rotated.content_d);
  if (plan_.n_keep == 0) return;
  rotated.set(query, angles, Region::pinned);
  pack(packed_rope_[1], token, rotated.rope, rotated.rope_d);
}

// Of a head and query in out_, max_, sum_ and PackedQueries: queries of a head are neighbours.
size_t PrefillAttention::query_at(int32_t head, int32_t query) const {
  return size_t(head) * size_t(n_query_tiles_) * kQueries + size_t(query);
}

float* PrefillAttention::out_of(int32_t head, int32_t query) const {
  return out_ + query_at(head, query) * size_t(value_);
}

// q [n_h, 32 blocks] and d [n_h] of query i go into one lane of its panel.
void PrefillAttention::pack(const PackedQueries& packed, int32_t i, const int8_t* q, const float* d) {
  constexpr size_t kOctet = 8;
  const size_t width = size_t(packed.blocks) * kBlockCols, lane = size_t(kLaneOfRow[i % kPanelRows]);
  for (int32_t h = 0; h < config_->n_heads; ++h, q += width) {
    const size_t at = query_at(h, i);
    packed.d[at] = d[h];
    uint8_t* panel = packed.q + at / kPanelRows * kPanelRows * width + lane * kOctet;
    for (size_t j = 0; j < width; j += kOctet) std::memcpy(panel + j * kPanelRows, q + j, kOctet);
  }
}

// ---- Keys and values ----

void PrefillAttention::attend(int32_t layer) {
  const Config& c = *config_;
  const int32_t n_query_tiles = quotient_up(n_, kQueries);
  const bool has_rows = is_rounded_ || !c.is_mha();  // otherwise keys are read from the ring
  reset();
  for (int32_t i = 0; i < tiles_.n_spans(); ++i) {
    const KeySpan& span = tiles_.span(i);
    const int32_t* order = tiles_.order(span);
    const int32_t missing = quotient_up(span.n_missing, kTaskRows);
    const int32_t copied = quotient_up(span.n_rows - span.n_missing, kTaskRows);
    const auto make_rows = [&](int32_t task, int32_t thread) {
      const bool is_missing = task < missing;
      const int32_t first = is_missing ? task * kTaskRows : span.n_missing + (task - missing) * kTaskRows;
      const int32_t n = std::min(kTaskRows, (is_missing ? span.n_missing : span.n_rows) - first);
      if (is_missing && !c.is_mha()) materialise_rows(layer, span, order + first, n, thread);
      else copy_rows(layer, span, order + first, n);
    };
    if (has_rows) team_->run(missing + copied, make_rows);
    if (is_rounded_) {
      team_->run(c.n_heads * n_query_tiles, [&](int32_t task, int32_t thread) {
        attend_head(layer, span, task / n_query_tiles, task % n_query_tiles, scratch_[thread]);
      });
    } else {
      team_->run(n_, [&](int32_t query, int32_t thread) { attend_query(layer, span, query, scratch_[thread]); });
    }
  }
}

// Nothing is attended to yet.
void PrefillAttention::reset() {
  const size_t states = size_t(n_query_tiles_) * kQueries * size_t(padded_lanes(config_->n_heads));
  for (size_t i = 0; i < states; ++i) {
    max_[i] = -__builtin_inff();
    sum_[i] = 0;
  }
  for (int32_t h = 0; h < config_->n_heads; ++h)
    std::memset(out_of(h, 0), 0, sizeof(float) * size_t(n_) * size_t(value_));
}

void PrefillAttention::materialise_rows(int32_t layer, const KeySpan& span, const int32_t* order, int32_t n,
                                        int32_t thread) {
  CachedToken tokens[kTaskRows] = {};
  for (int32_t i = 0; i < n; ++i) {
    const KeyRow& row = tiles_.row(order[i]);
    tokens[i] = row.token;
    if (row.staged >= 0) tokens[i].scale = scales_[row.staged];
  }
  const Materialiser& materialiser = cache_->materialiser();
  const RowShape& shape = materialiser.rows();
  const Row rows = scratch_[thread].rows;
  materialiser.materialise_tokens(layer, tokens, n, cache_->pool(), cache_->materialiser_scratch(thread), rows);
  for (int32_t i = 0; i < n; ++i) {
    const Row row = shape.at(rows, size_t(i));
    if (trace_.is_on()) trace_row(layer, tiles_.row(order[i]).staged, row, thread);
    place_row(span, order[i], row);
    if (is_rounded_) place_rope(layer, span, order[i]);
  }
}

inline void PrefillAttention::trace_row(int32_t layer, int32_t token, Row row, int32_t thread) const {
  if (token < 0) return;  // an older one
  float* x = cache_->materialiser_scratch(thread).product;
  load_row(*kernels_, cache_->row_shape(), row, x);
  trace_.tensor("kv", layer, token, x, config_->kv_width());
}

// Rows that the pool holds, or that the ring of MHA does.
void PrefillAttention::copy_rows(int32_t layer, const KeySpan& span, const int32_t* order, int32_t n) {
  for (int32_t i = 0; i < n; ++i) {
    if (config_->is_mha()) {
      place_heads(layer, span, order[i]);
      continue;
    }
    place_row(span, order[i], cache_->pool().row(layer, tiles_.row(order[i]).pool_row));
    if (is_rounded_) place_rope(layer, span, order[i]);
  }
}

// A row takes its place in the span.
void PrefillAttention::place_row(const KeySpan& span, int32_t row, Row from) {
  const RowShape& shape = cache_->row_shape();
  const size_t at = size_t(row - span.first_row), rows = KeyTiles::kSpanRows;
  if (!is_rounded_) {
    const Row to = shape.at(span_rows_, at);
    std::memcpy(to.keys, from.keys, shape.key_bytes);
    std::memcpy(to.values, from.values, shape.value_bytes);
    std::memcpy(to.scales, from.scales, shape.scales_bytes);
    return;
  }
  const size_t content = size_t(content_), value = size_t(value_);
  for (size_t h = 0; h < size_t(config_->n_heads); ++h) {
    std::memcpy(keys_ + (h * rows + at) * content, from.keys + h * content, content);
    std::memcpy(values_ + (h * rows + at) * value, from.values + h * value, value);
    key_scales_[h * rows + at] = load_scale(from.scales, int32_t(h));
    value_scales_[h * rows + at] = load_scale(from.scales + shape.value_scales_at(), int32_t(h));
  }
}

void PrefillAttention::place_rope(int32_t layer, const KeySpan& span, int32_t row) {
  const LatentRing& ring = cache_->ring();
  const int32_t slot = tiles_.row(row).token.slot, at = row - span.first_row;
  std::memcpy(rope_keys_ + at * rope_, ring.ropes_of(layer) + ring.rope_stride() * size_t(slot),
              size_t(config_->rope_width));
  ring.gather_scalars(layer, &slot, 1, ring.shape().rope_scale_at(), 1, rope_scales_ + at, 1);
}

// MHA: keys and values of the ring take their place in the span.
void PrefillAttention::place_heads(int32_t layer, const KeySpan& span, int32_t row) {
  const LatentRing& ring = cache_->ring();
  const int32_t slot = tiles_.row(row).token.slot;
  const size_t at = size_t(row - span.first_row), rows = KeyTiles::kSpanRows, width = size_t(value_);
  const uint8_t* keys = ring.keys_of(layer) + ring.latent_stride() * size_t(slot);
  const uint8_t* values = ring.values_of(layer) + ring.rope_stride() * size_t(slot);
  for (int32_t h = 0; h < config_->n_kv_heads; ++h) {
    const size_t to = size_t(h) * rows + at;
    std::memcpy(keys_ + to * width, keys + size_t(h) * width, width);
    std::memcpy(values_ + to * width, values + size_t(h) * width, width);
    ring.gather_scalars(layer, &slot, 1, h, 1, key_scales_ + to, 1);
    ring.gather_scalars(layer, &slot, 1, ring.shape().rope_scale_at() + h, 1, value_scales_ + to, 1);
  }
}

// ---- 64 queries of one head ----

void PrefillAttention::attend_head(int32_t layer, const KeySpan& span, int32_t head, int32_t query_tile,
                                   const Scratch& s) {
  const Config& c = *config_;
  const int32_t first = query_tile * kQueries, n_queries = std::min(kQueries, n_ - first);
  const int32_t lanes = padded_lanes(n_queries), kv = c.is_mha() ? head / (c.n_heads / c.n_kv_heads) : head;
  const size_t at = query_at(head, first), rows = size_t(kv) * KeyTiles::kSpanRows;
  RunningSoftmax part = s.part;
  part.n_heads = n_queries;
  part.lanes = lanes;
  RunningSoftmax whole{max_ + at, sum_ + at, out_of(head, first), s.factor, n_queries, lanes, value_};
  for (int32_t t = span.first_tile; t < span.first_tile + span.n_tiles; ++t) {
    const KeyTile& tile = tiles_.tile(t);
    if (tile.to <= first || tile.from >= first + n_queries) continue;
    const size_t row = size_t(tile.first - span.first_row), kv_row = rows + row;
    const PackedQueries& rotated = packed_rope_[tile.region == Region::pinned ? 1 : 0];
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
    if (trace_.is_on()) trace_scores(layer, head, first, tile, lanes, s.scores);
    part.reset_sum();
    kernels_->weigh_rows(s.scores, value_scales_ + kv_row, tile.n, lanes, part.max, part.sum);
    whole.add_sum(*kernels_, part);
    const GatheredRows values{values_ + kv_row * size_t(value_), size_t(value_), identity_};
    kernels_->round_weights(s.scores, nullptr, 0, tile.n, lanes, s.p, s.steps);
    kernels_->interleave_rows(values, tile.n, s.values, value_);
    kernels_->blend_quad_sums({s.p, s.steps, lanes}, n_queries, s.values, value_, tile.n, whole.keep(), whole.weight(),
                              whole.out, size_t(whole.width));
  }
}

// dots [n, lanes] of queries with n keys.
void PrefillAttention::multiply(const PackedQueries& queries, size_t at, const int8_t* keys, int32_t n, int32_t lanes,
                                const Scratch& s) {
  const size_t width = size_t(queries.blocks) * kBlockCols;
  kernels_->matmul_i8_i32(queries.q + at * width, queries.blocks, lanes / kPanelRows, keys, n, s.dots, size_t(lanes));
}

// Takes what queries [first, first + lanes) do not see of a tile out of their scores [n, lanes].
void PrefillAttention::hide(const KeyTile& tile, int32_t first, int32_t lanes, float* scores) const {
  if (tile.all_from <= first && tile.all_to >= std::min(first + lanes, n_)) return;
  for (int32_t i = 0; i < tile.n; ++i, scores += lanes) {
    const KeyRow& row = tiles_.row(tile.first + i);
    for (int32_t j = 0; j < std::min(row.from - first, lanes); ++j) scores[j] = kHidden;
    for (int32_t j = std::max(row.to - first, 0); j < lanes; ++j) scores[j] = kHidden;
  }
}

// What queries [first, first + lanes) see of the tile.
inline void PrefillAttention::trace_scores(int32_t layer, int32_t head, int32_t first, const KeyTile& tile,
                                           int32_t lanes, const float* scores) const {
  for (int32_t i = 0; i < tile.n; ++i, scores += lanes) {
    const KeyRow& row = tiles_.row(tile.first + i);
    for (int32_t query = std::max(row.from, first); query < std::min({row.to, first + lanes, n_}); ++query)
      trace_.score(layer, query, head, row.token.slot, scores[query - first]);
  }
}

// ---- One query, all heads ----

void PrefillAttention::attend_query(int32_t layer, const KeySpan& span, int32_t query, Scratch& s) {
  const Config& c = *config_;
  const int32_t lanes = padded_lanes(c.n_heads);
  const RingLayer ring{*kernels_, c, cache_->ring(), layer, trace_, query};
  RunningSoftmax whole{max_ + size_t(query) * size_t(lanes),
                       sum_ + size_t(query) * size_t(lanes),
                       out_of(0, query),
                       s.factor,
                       c.n_heads,
                       lanes,
                       n_query_tiles_ * kQueries * value_};
  for (int32_t t = span.first_tile; t < span.first_tile + span.n_tiles; ++t) {
    const KeyTile& tile = tiles_.tile(t);
    int32_t n = 0;
    for (int32_t i = tile.first; i < tile.first + tile.n; ++i) {
      const KeyRow& row = tiles_.row(i);
      if (query < row.from || query >= row.to) continue;
      s.index[n] = i - span.first_row;
      s.slots[n++] = row.token.slot;
    }
    if (n == 0) continue;
    s.query.set(queries_ + size_t(query) * size_t(c.query_width()), angles_->of(query), tile.region);
    RunningSoftmax part = s.part;
    part.reset();
    if (c.is_mha()) attend_cached_heads(ring, s.slots, n, s.query.heads(), s.tile, s.scales, &part);
    else
      attend_rows(ring, {&cache_->row_shape(), span_rows_, s.index, n}, s.slots, s.query.heads(), ValueSums::rounded,
                  s.tile, &part);
    whole.add(*kernels_, part, c.value_width);
  }
}

void PrefillAttention::load(int32_t token, float* out) const {
  const Config& c = *config_;
  for (int32_t h = 0; h < c.n_heads; ++h) {
    const size_t at = is_rounded_ ? query_at(h, token) : size_t(token) * size_t(padded_lanes(c.n_heads)) + size_t(h);
    kernels_->shift_scale(out_of(h, token), 0, 1.0f / sum_[at], c.value_width, out + h * c.value_width);
  }
}

}  // namespace pith::internal
