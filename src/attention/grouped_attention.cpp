#include "attention/grouped_attention.h"

namespace pith::internal {
namespace {

// What blocks cost, in units of some 40 ns on a current core; only their proportions matter, and they only balance
// threads.
constexpr int64_t kTokenCost = 2, kSegmentCost = 50, kGateCost = 250, kRecomputedCost = 150;
constexpr int64_t kPieceCost = 200;  // at least, of a piece: a job of less does not pay

// Groups without a row of more tokens have their gate absorbed: beyond, that costs less than recomputing every token's
// keys and values.
constexpr int32_t kMaxRecomputed = 4;

constexpr int32_t kBlockTokens = kTileSlots;  // of a block of rows

}  // namespace

void GroupedAttention::lay_out(const Config& config, const Plan& plan, const Weights& weights, const KvCache& cache,
                               Arena* arena) {
  config_ = &config;
  weights_ = &weights;
  kernels_ = plan.kernels;
  cache_ = &cache;
  ring_ = &cache.ring();
  groups_ = &cache.groups();
  pool_ = &cache.pool();
  materialiser_ = &cache.materialiser();
  cache_i8_ = plan.cache_i8;
  activations_i8_ = plan.activations_i8;
  is_integer_ = cache_i8_ && activations_i8_ && AbsorbedKeys::is_possible(config, weights);
  latent_stride_ = int32_t(padded_cols(config.latent_width));
  n_parts_ = ring_->shape().n_parts();
  if (is_integer_) keys_.lay_out(config, weights, arena);
  const size_t capacity = size_t(plan.capacity);
  slots_ = arena->take<int32_t>(capacity);
  rows_ = arena->take<int32_t>(capacity);
  segments_ = arena->take<Segment>(capacity);
  // Keys fill blocks of 64, with two left over; of two neighbouring blocks of groups one has 16 groups or both together
  // 512 tokens.
  max_blocks_ = plan.capacity / 8 + 16;
  blocks_ = arena->take<Block>(size_t(max_blocks_));
  const size_t heads = size_t(config.n_heads), content = size_t(padded_cols(config.content_width));
  scaled_query_ = arena->take_zeros<float>(is_integer_ ? heads * size_t(keys_.n_blocks()) * content : 0);
  query_sums_ = arena->take_zeros<float>(size_t(padded_lanes(config.n_heads)));
  scratch_ = arena->take<Scratch>(size_t(plan.max_threads));
  for (int32_t thread = 0; thread < plan.max_threads; ++thread) {
    Scratch s;
    lay_out_scratch(&s, arena);
    if (!arena->is_measuring()) scratch_[thread] = s;
  }
}

void GroupedAttention::lay_out_scratch(Scratch* s, Arena* arena) const {
  const Config& c = *config_;
  const size_t columns = kMaxSegments, heads = size_t(c.n_heads), latent = size_t(latent_stride_);
  const size_t content = size_t(padded_cols(c.content_width)), value = size_t(padded_cols(c.value_width));
  s->products = arena->take<int8_t>(is_integer_ ? columns * content : 0);
  s->product = arena->take<float>(is_integer_ ? 0 : content);
  s->product_d = arena->take<float>(columns * latent / kBlockCols);
  s->dots = arena->take<int32_t>(columns * latent);
  s->query = arena->take_zeros<int8_t>(is_integer_ ? columns * heads * latent : 0);
  s->query_d = arena->take_zeros<float>(columns * size_t(n_parts_) * size_t(padded_lanes(c.n_heads)));
  s->query_x = arena->take<float>(is_integer_ ? 0 : columns * heads * latent);
  s->sums.lay_out_integers(kMaxSegments, c.latent_width, arena);
  s->sums.x = arena->take<float>(columns * heads * latent);
  s->values = arena->take<float>(columns * value);
  s->part = arena->take<float>(content);
  s->content_d = arena->take_zeros<float>(columns * size_t(padded_lanes(c.n_heads)));
  s->value_d = arena->take_zeros<float>(columns * size_t(padded_lanes(c.n_heads)));
  s->rho = arena->take<float>(2 * kMaxTokens);
  s->mean = arena->take<float>(kMaxTokens);
  s->shift = arena->take<float>(size_t(padded_lanes(c.n_heads)));
  s->row_scales = arena->take<float>(kMaxTokens);
  s->rows = arena->take<Row>(columns);
  s->own_rows = take_rows(materialiser_->rows(), columns, arena);
}

// ---- The order of the tokens
// -----------------------------------------------------------------------------------------

void GroupedAttention::schedule() {
  n_tokens_ = n_segments_ = n_blocks_ = 0;
  for (const bool pinned : {false, true}) {
    if (pinned && ring_->n_keep() == 0) continue;
    order_groups(pinned);
    order_recomputed(pinned);
    order_rows(pinned);
  }
  cut_pieces();
}

GroupedAttention::Block* GroupedAttention::open_block(Source source, bool pinned) {
  Block* block = &blocks_[n_blocks_++];
  *block = {source, pinned, n_tokens_, 0, n_segments_, 0};
  return block;
}

// Tokens that the queries are absorbed for, group by group; a group is cut only if it is larger than a block.
void GroupedAttention::order_groups(bool pinned) {
  Block* block = nullptr;
  for (const GroupKind kind : {GroupKind::gate, GroupKind::none}) {
    for (int32_t g = groups_->first_group(kind); g >= 0; g = groups_->next_group(g)) {
      const int32_t count = groups_->group_count(g), whole = count < kMaxTokens ? count : kMaxTokens;
      if (kind == GroupKind::none && count <= kMaxRecomputed) continue;
      Segment* segment = nullptr;
      for (int32_t slot = groups_->group_first_slot(g); slot >= 0; slot = groups_->next_slot(slot)) {
        if (is_pinned(slot) != pinned) continue;
        const bool starts = segment == nullptr;
        if (block == nullptr || block->n == kMaxTokens ||
            (starts && (block->n_segments == kMaxSegments || block->n + whole > kMaxTokens))) {
          block = open_block(Source::groups, pinned);
          segment = nullptr;
        }
        if (segment == nullptr) {
          segment = &segments_[n_segments_++];
          *segment = {groups_->group_id(g), groups_->group_gate_row(g), n_tokens_, 0};
          ++block->n_segments;
        }
        slots_[n_tokens_++] = slot;
        ++segment->n;
        ++block->n;
      }
    }
  }
}

// Tokens of small groups that own nothing.
void GroupedAttention::order_recomputed(bool pinned) {
  Block* block = nullptr;
  for (int32_t g = groups_->first_group(GroupKind::none); g >= 0; g = groups_->next_group(g)) {
    if (groups_->group_count(g) > kMaxRecomputed) return;  // in ascending order
    for (int32_t slot = groups_->group_first_slot(g); slot >= 0; slot = groups_->next_slot(slot)) {
      if (is_pinned(slot) != pinned) continue;
      if (block == nullptr || block->n == kBlockTokens) block = open_block(Source::recomputed, pinned);
      slots_[n_tokens_++] = slot;
      ++block->n;
    }
  }
}

// Tokens with rows, in the order in which the rows lie.
void GroupedAttention::order_rows(bool pinned) {
  Block* block = nullptr;
  for (int32_t row = 0; row < groups_->n_rows(); ++row) {
    const int32_t slot = groups_->row_slot(row);
    if (slot < 0 || is_pinned(slot) != pinned) continue;
    if (block == nullptr || block->n == kBlockTokens) block = open_block(Source::rows, pinned);
    slots_[n_tokens_] = slot;
    rows_[n_tokens_++] = row;
    ++block->n;
  }
}

void GroupedAttention::cut_pieces() {
  const auto cost_of = [&](const Block& block) {
    int64_t cost = (block.source == Source::recomputed ? kRecomputedCost : kTokenCost) * block.n;
    cost += kSegmentCost * block.n_segments;
    for (int32_t i = 0; i < block.n_segments; ++i) {
      if (segments_[block.first_segment + i].gate_row < 0) cost += kGateCost;
    }
    return cost;
  };
  int64_t total = 0;
  for (int32_t b = 0; b < n_blocks_; ++b) total += cost_of(blocks_[b]);
  const int64_t share = total / kMaxPieces > kPieceCost ? total / kMaxPieces : kPieceCost;
  n_pieces_ = 0;
  int64_t cost = 0;
  for (int32_t b = 0; b < n_blocks_; ++b) {
    cost += cost_of(blocks_[b]);
    const bool is_last = b + 1 == n_blocks_;
    if (is_last || (cost >= share && n_pieces_ + 1 < kMaxPieces)) {
      piece_ends_[n_pieces_++] = b + 1;
      cost = 0;
    }
  }
}

// ---- One layer
// -------------------------------------------------------------------------------------------------------

void GroupedAttention::begin_layer(int32_t layer, const QueryHeads& window, const QueryHeads& pinned) {
  layer_ = layer;
  window_ = window;
  pinned_ = pinned;
  if (n_segments_ == 0) return;
  const int32_t width = config_->content_width, padded = int32_t(padded_cols(width));
  for (int32_t h = 0; h < config_->n_heads; ++h) {
    const float* q = window.content.x + h * window.content.stride;
    query_sums_[h] = -kernels_->sum(q, width);
    for (int32_t b = 0; is_integer_ && b < keys_.n_blocks(); ++b)
      kernels_->multiply(q, keys_.scales(layer, h, b), width,
                         scaled_query_ + size_t(h * keys_.n_blocks() + b) * size_t(padded));
  }
}

void GroupedAttention::run_piece(int32_t piece, const TileScratch& block_scratch,
                                 const Materialiser::Scratch& materialiser_scratch, Row tile, int32_t thread,
                                 RunningSoftmax* running) const {
  for (int32_t b = piece == 0 ? 0 : piece_ends_[piece - 1]; b < piece_ends_[piece]; ++b) {
    const Block& block = blocks_[b];
    const QueryHeads& query = block.is_pinned ? pinned_ : window_;
    const int32_t* slots = slots_ + block.first;
    const auto attend = [&](Row rows, const int32_t* index) {
      attend_rows(*kernels_, *config_, *ring_, layer_, pool_->shape(), rows, index, slots, block.n, query,
                  block_scratch, running);
    };
    switch (block.source) {
      case Source::groups:
        attend_groups(block, query, block_scratch, materialiser_scratch, scratch_[thread], running);
        break;
      case Source::recomputed: {
        CachedToken tokens[kTileSlots];
        for (int32_t i = 0; i < block.n; ++i) tokens[i] = cache_->token(slots[i]);
        materialiser_->materialise_tokens(layer_, tokens, block.n, *pool_, materialiser_scratch, tile);
        attend(tile, block_scratch.identity);
        break;
      }
      case Source::rows: attend(pool_->row(layer_, 0), rows_ + block.first); break;
    }
  }
}

void GroupedAttention::attend_groups(const Block& block, const QueryHeads& query, const TileScratch& block_scratch,
                                     const Materialiser::Scratch& materialiser_scratch, const Scratch& s,
                                     RunningSoftmax* running) const {
  load_gates(block, materialiser_scratch, s);
  for (int32_t i = block.first; i < block.first + block.n; ++i) {
    prefetch(ring_->latents_of(layer_) + ring_->latent_stride() * size_t(slots_[i]), ring_->latent_stride());
    prefetch(ring_->ropes_of(layer_) + ring_->rope_stride() * size_t(slots_[i]), ring_->rope_stride());
  }
  if (is_integer_) absorb_integers(block, s);
  else absorb_floats(block, query, s);
  load_scalars(block, block_scratch, s);
  score(block, block_scratch, s);
  const HeadRows rope =
      rope_rows(*ring_, *config_, layer_, slots_ + block.first, block.n, cache_i8_, block_scratch.rope_scales);
  add_scores(*kernels_, query.rope, rope, config_->n_heads, block.n, block_scratch.heads, block_scratch.scores);
  running->weigh(*kernels_, block.n, block_scratch.scores);
  sum_latents(block, block_scratch, s);
  subtract_means(block, block_scratch, s, running);
  add_values(block, s, running);
}

// Finds or computes the gates of the block's groups, and what of them the loops over heads would read again and again.
void GroupedAttention::load_gates(const Block& block, const Materialiser::Scratch& materialiser_scratch,
                                  const Scratch& s) const {
  static_assert(kMaxSegments <= Materialiser::kMaxGates);
  const RowShape& shape = pool_->shape();
  const int32_t lanes = padded_lanes(config_->n_heads);
  int32_t missing[kMaxSegments], ids[kMaxSegments], n_missing = 0;
  for (int32_t i = 0; i < block.n_segments; ++i) {
    const Segment& segment = segments_[block.first_segment + i];
    if (segment.gate_row < 0) {
      s.rows[i] = shape.at(s.own_rows, size_t(i));
      ids[n_missing] = segment.id;
      missing[n_missing++] = i;
      continue;
    }
    s.rows[i] = pool_->row(layer_, segment.gate_row);
    prefetch(s.rows[i].first, shape.key_bytes);
    prefetch(s.rows[i].second, shape.value_bytes);
  }
  if (n_missing > 0) materialiser_->compute_gates(layer_, ids, n_missing, materialiser_scratch);
  for (int32_t i = 0; i < n_missing; ++i)
    store_row(*kernels_, shape, materialiser_scratch.gates + i * materialiser_->up_stride(), s.rows[missing[i]]);
  for (int32_t i = 0; i < block.n_segments && cache_i8_; ++i) {
    const int32_t self = 0;
    gather_scales(*kernels_, shape, s.rows[i].scales, false, &self, 1, lanes, s.content_d + i * lanes);
    gather_scales(*kernels_, shape, s.rows[i].scales, true, &self, 1, lanes, s.value_d + i * lanes);
  }
}

// A head's gate of the content, as floats: in place, or widened into `buffer`.
const float* GroupedAttention::gate_of(Row row, int32_t head, float scale, float* buffer) const {
  const int32_t at = head * pool_->shape().padded_content;
  if (!cache_i8_) return reinterpret_cast<const float*>(row.first) + at;
  kernels_->dequantize_row(reinterpret_cast<const int8_t*>(row.first) + at, scale, config_->content_width, buffer);
  return buffer;
}

// a of every group and head: products q g of 8 bits, multiplied by the integers of W_UK, and rounded again for the
// scores.
void GroupedAttention::absorb_integers(const Block& block, const Scratch& s) const {
  const Config& c = *config_;
  const int32_t padded = pool_->shape().padded_content, n_blocks = keys_.n_blocks(), lanes = padded_lanes(c.n_heads);
  const int32_t part_stride = n_parts_ == 1 ? latent_stride_ : kBlockCols;
  for (int32_t h = 0; h < c.n_heads; ++h) {
    for (int32_t b = 0; b < n_blocks; ++b) {
      const float* q = scaled_query_ + size_t(h * n_blocks + b) * size_t(padded);
      for (int32_t i = 0; i < block.n_segments; ++i) {
        const int8_t* gate = reinterpret_cast<const int8_t*>(s.rows[i].first) + h * padded;
        s.product_d[i * n_blocks + b] =
            kernels_->quantize_product(q, gate, padded, s.products + i * padded) * s.content_d[i * lanes + h];
      }
      kernels_->matmul_i8_i32(keys_.matrix(layer_, h, b), padded / kBlockCols, kBlockCols / kPanelRows, s.products,
                              block.n_segments, s.dots + b * kBlockCols, size_t(latent_stride_));
    }
    for (int32_t i = 0; i < block.n_segments; ++i) {
      for (int32_t part = 0; part < n_parts_; ++part) {
        const int32_t at = part * kBlockCols, column = i * n_parts_ + part;
        s.query_d[column * lanes + h] =
            kernels_->quantize_dots(s.dots + i * latent_stride_ + at, s.product_d + i * n_blocks + part,
                                    ring_->shape().part_width(part), s.query + (column * c.n_heads + h) * part_stride);
      }
    }
  }
}

void GroupedAttention::absorb_floats(const Block& block, const QueryHeads& query, const Scratch& s) const {
  const Config& c = *config_;
  const Linear& up = weights_->layers[layer_].kv_b;
  for (int32_t i = 0; i < block.n_segments; ++i) {
    for (int32_t h = 0; h < c.n_heads; ++h) {
      const float* q = query.content.x + h * query.content.stride;
      const float scale = cache_i8_ ? s.content_d[i * padded_lanes(c.n_heads) + h] : 1;
      const float* gate = gate_of(s.rows[i], h, scale, s.part);
      float *product = s.product, *a = s.query_x + (i * c.n_heads + h) * latent_stride_;
      kernels_->multiply(q, gate, c.content_width, product);
      const int32_t first = h * c.kv_head_width() / kPanelRows;
      apply_transposed(*kernels_, up, first, first + c.content_width / kPanelRows, product, a);
    }
  }
}

HeadRows GroupedAttention::latents_of(const Segment& segment, int32_t part, const float* rho, const Scratch& s) const {
  return latent_rows(*kernels_, *ring_, layer_, slots_ + segment.first, segment.n, part, config_->n_heads, cache_i8_,
                     rho, s.row_scales);
}

// The tokens' scalars of norm_g, and scores that hold what the means take off.
void GroupedAttention::load_scalars(const Block& block, const TileScratch& block_scratch, const Scratch& s) const {
  const CacheShape& shape = ring_->shape();
  const int32_t lanes = padded_lanes(config_->n_heads);
  const auto gather = [&](int32_t at, float* out) {
    ring_->gather_scalars(layer_, slots_ + block.first, block.n, at, 1, out, 1);
  };
  float *rho_k = s.rho, *rho_v = s.rho + kMaxTokens;
  for (int32_t i = 0; i < block.n && shape.n_rho == 0; ++i) rho_k[i] = 1;
  if (shape.n_rho > 0) gather(shape.rho_at(), rho_k);
  if (shape.n_rho > 1) gather(shape.rho_at() + 1, rho_v);
  else
    for (int32_t i = 0; i < block.n; ++i) rho_v[i] = rho_k[i];
  if (shape.n_means == 0) return block_scratch.clear_scores(block.n, lanes);
  gather(shape.mean_at(), s.mean);
  kernels_->outer_rows(query_sums_, s.mean, block.n, lanes, block_scratch.scores);
}

void GroupedAttention::score(const Block& block, const TileScratch& block_scratch, const Scratch& s) const {
  const Config& c = *config_;
  const int32_t lanes = padded_lanes(c.n_heads);
  const float* rho_k = s.rho;
  const int32_t part_stride = n_parts_ == 1 ? latent_stride_ : kBlockCols;
  for (int32_t i = 0; i < block.n_segments; ++i) {
    const Segment& segment = segments_[block.first_segment + i];
    const int32_t offset = segment.first - block.first;
    for (int32_t part = 0; part < n_parts_; ++part) {
      const int32_t column = i * n_parts_ + part;
      const HeadQuery query =
          is_integer_ ? HeadQuery{nullptr, 0, s.query + column * c.n_heads * part_stride, s.query_d + column * lanes}
                      : HeadQuery{s.query_x + i * c.n_heads * latent_stride_ + part * kBlockCols, latent_stride_,
                                  nullptr, nullptr};
      add_scores(*kernels_, query, latents_of(segment, part, rho_k + offset, s), c.n_heads, segment.n,
                 block_scratch.heads, block_scratch.scores + offset * lanes);
    }
  }
}

void GroupedAttention::sum_latents(const Block& block, const TileScratch& block_scratch, const Scratch& s) const {
  const Config& c = *config_;
  const int32_t lanes = padded_lanes(c.n_heads), head_stride = kMaxSegments * latent_stride_;
  const float* rho_v = s.rho + kMaxTokens;
  for (int32_t j = 0; j < c.n_heads * head_stride; ++j) s.sums.x[j] = 0;
  for (int32_t i = 0; i < block.n_segments; ++i) {
    const Segment& segment = segments_[block.first_segment + i];
    const int32_t offset = segment.first - block.first;
    float* sums = s.sums.x + i * latent_stride_;
    for (int32_t part = 0; part < n_parts_; ++part)
      add_sums(*kernels_, block_scratch.scores + offset * lanes, latents_of(segment, part, rho_v + offset, s),
               c.n_heads, segment.n, block_scratch.heads, sums + part * kBlockCols, head_stride);
    for (int32_t h = 0; h < c.n_heads && c.latent_width < latent_stride_; ++h) {
      for (int32_t j = c.latent_width; j < latent_stride_; ++j) sums[h * head_stride + j] = 0;
    }
  }
}

// out_h -= p . mean, with the means of values: those of keys, still there from the scores, where they are the same.
void GroupedAttention::subtract_means(const Block& block, const TileScratch& block_scratch, const Scratch& s,
                                      RunningSoftmax* running) const {
  const CacheShape& shape = ring_->shape();
  if (shape.n_means == 0) return;
  if (shape.n_means > 1)
    ring_->gather_scalars(layer_, slots_ + block.first, block.n, shape.mean_at() + 1, 1, s.mean, 1);
  for (int32_t h = 0; h < running->lanes; ++h) s.shift[h] = 0;
  kernels_->sum_rows(block_scratch.scores, s.mean, block.n, running->lanes, s.shift);
  for (int32_t h = 0; h < config_->n_heads; ++h) {
    float* out = running->out + h * running->width;
    kernels_->shift_scale(out, s.shift[h], 1, config_->value_width, out);
  }
}

// out_h += g (W_UV s) for every group.
void GroupedAttention::add_values(const Block& block, const Scratch& s, RunningSoftmax* running) const {
  const Config& c = *config_;
  const RowShape& shape = pool_->shape();
  const Linear& up = weights_->layers[layer_].kv_b;
  const int32_t n = block.n_segments, lanes = padded_lanes(c.n_heads);
  Columns sums = s.sums;
  for (int32_t h = 0; h < c.n_heads; ++h, sums.x += kMaxSegments * latent_stride_) {
    float* out = running->out + h * running->width;
    const int32_t first = (h * c.kv_head_width() + c.content_width) / kPanelRows;
    apply_columns(*kernels_, up, first, first + c.value_width / kPanelRows,
                  sums.prepare(*kernels_, n, activations_i8_, up.type), n, s.values, size_t(shape.padded_value));
    for (int32_t i = 0; i < n; ++i) {
      const uint8_t* gate = s.rows[i].second + size_t(h * shape.padded_value) * shape.number_bytes();
      float* values = s.values + i * shape.padded_value;
      if (cache_i8_) {
        kernels_->gated_sum(reinterpret_cast<const int8_t*>(gate), values, s.value_d[i * lanes + h], c.value_width,
                            out);
      } else {
        kernels_->multiply(reinterpret_cast<const float*>(gate), values, c.value_width, values);
        kernels_->add(out, values, c.value_width, out);
      }
    }
  }
}

}  // namespace pith::internal
