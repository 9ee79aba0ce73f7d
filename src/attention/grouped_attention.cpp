#include "attention/grouped_attention.h"

namespace pith::internal {

void GroupedAttention::lay_out(const Setup& setup, const KvCache& cache, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  const Plan& plan = setup.plan;
  cache_ = &cache;
  ring_ = &cache.ring();
  pool_ = &cache.pool();
  materialiser_ = &cache.materialiser();
  is_integer_ = has_integer_scores(plan) && AbsorbedKeys::is_possible(c, setup.weights);
  latent_stride_ = int32_t(padded_cols(c.latent_width));
  n_latent_blocks_ = ring_->shape().n_blocks();
  schedule_.lay_out(setup, cache.groups(), arena);
  if (is_integer_) keys_.lay_out(c, setup.weights, arena);
  splits_.lay_out(setup, GroupSchedule::kMaxSplits, int32_t(padded_cols(c.value_width)), arena);
  const size_t heads = size_t(c.n_heads), content = size_t(padded_cols(c.content_width));
  scaled_query_ = arena->take_zeros<float>(is_integer_ ? heads * size_t(keys_.n_blocks()) * content : 0);
  query_sums_ = arena->take_zeros<float>(size_t(padded_lanes(c.n_heads)));
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) { lay_out_scratch(s, arena); });
}

void GroupedAttention::lay_out_scratch(Scratch* s, Arena* arena) const {
  const Config& c = *config_;
  const size_t columns = kMaxSegments, heads = size_t(c.n_heads), latent = size_t(latent_stride_);
  const size_t content = size_t(padded_cols(c.content_width)), value = size_t(padded_cols(c.value_width));
  const int32_t widest = std::max({c.latent_width, c.kv_head_width(), c.rope_width});
  s->tile.lay_out(kMaxTokens, padded_lanes(c.n_heads), widest, arena);
  s->rows = take_rows(materialiser_->rows(), kTileSlots, arena);
  s->products = arena->take<int8_t>(is_integer_ ? columns * content : 0);
  s->product = arena->take<float>(is_integer_ ? 0 : content);
  s->product_d = arena->take<float>(columns * latent / kBlockCols);
  s->dots = arena->take<int32_t>(columns * latent);
  s->query = arena->take_zeros<int8_t>(is_integer_ ? columns * heads * latent : 0);
  s->query_d = arena->take_zeros<float>(columns * size_t(n_latent_blocks_) * size_t(padded_lanes(c.n_heads)));
  s->query_x = arena->take<float>(is_integer_ ? 0 : columns * heads * latent);
  s->sums.lay_out_integers(kMaxSegments, c.latent_width, arena);
  s->sums.x = arena->take<float>(columns * heads * latent);
  s->values = arena->take<float>(columns * value);
  s->widened = arena->take<float>(content);
  s->content_d = arena->take_zeros<float>(columns * size_t(padded_lanes(c.n_heads)));
  s->value_d = arena->take_zeros<float>(columns * size_t(padded_lanes(c.n_heads)));
  s->rho = arena->take<float>(2 * kMaxTokens);
  s->mean = arena->take<float>(kMaxTokens);
  s->shift = arena->take<float>(size_t(padded_lanes(c.n_heads)));
  s->row_scales = arena->take<float>(kMaxTokens);
  s->gates = arena->take<Row>(columns);
  s->own_gates = take_rows(materialiser_->rows(), columns, arena);
}

void GroupedAttention::attend(int32_t layer, const Step& step, float* out) {
  if (schedule_.has_segments()) scale_query(layer, step);
  const RingLayer ring{*kernels_, *config_, *ring_, layer, {}};  // no trace: not all tokens have scores here
  const int32_t n = schedule_.n_splits();
  team_->run(n, [&](int32_t split, int32_t thread) {
    RunningSoftmax running = splits_.begin(split, thread);
    for (int32_t t = schedule_.first_tile(split); t < schedule_.first_tile(split + 1); ++t) {
      const GroupTile& tile = schedule_.tile(t);
      attend_tile({ring, tile, schedule_.slots(tile), schedule_.segments(tile), step.query(tile.region).heads(),
                   scratch_[thread], cache_->materialiser_scratch(thread)},
                  &running);
    }
  });
  splits_.merge(*kernels_, n, config_->value_width, out);
}

// What all groups share of the query's absorption: its products with the scales of W_UK, and its sums for the means.
void GroupedAttention::scale_query(int32_t layer, const Step& step) {
  const int32_t width = config_->content_width, padded = int32_t(padded_cols(width));
  for (int32_t h = 0; h < config_->n_heads; ++h) {
    const float* q =
        step.window.x + h * config_->query_head_width();  // content is not rotated: the same for both regions
    query_sums_[h] = -kernels_->sum(q, width);
    for (int32_t b = 0; is_integer_ && b < keys_.n_blocks(); ++b)
      kernels_->multiply(q, keys_.scales(layer, h, b), width,
                         scaled_query_ + size_t(h * keys_.n_blocks() + b) * size_t(padded));
  }
}

void GroupedAttention::attend_tile(const Task& task, RunningSoftmax* running) const {
  const GroupTile& tile = task.tile;
  const TileScratch& scratch = task.s.tile;
  const RowShape& shape = pool_->shape();
  switch (tile.source) {
    case TileSource::absorbed: return attend_absorbed(task, running);
    case TileSource::pooled: {
      const RowList rows{&shape, pool_->row(task.ring.layer, 0), schedule_.pool_rows(tile), tile.n};
      return attend_rows(task.ring, rows, task.slots, task.query, ValueSums::floats, scratch, running);
    }
    case TileSource::materialised: {
      CachedToken tokens[kTileSlots];
      for (int32_t i = 0; i < tile.n; ++i) tokens[i] = cache_->token(task.slots[i]);
      materialiser_->materialise_tokens(task.ring.layer, tokens, tile.n, *pool_, task.materialiser_scratch,
                                        task.s.rows);
      const RowList rows{&shape, task.s.rows, scratch.identity, tile.n};
      return attend_rows(task.ring, rows, task.slots, task.query, ValueSums::floats, scratch, running);
    }
  }
}

void GroupedAttention::attend_absorbed(const Task& task, RunningSoftmax* running) const {
  const TileScratch& scratch = task.s.tile;
  const int32_t layer = task.ring.layer, n = task.tile.n;
  load_gates(task);
  if (is_integer_) absorb_integers(task);
  else absorb_floats(task);
  load_scalars(task);
  fetch_rows(ring_->latents_of(layer), ring_->latent_stride(), task.slots, n);
  fetch_rows(ring_->ropes_of(layer), ring_->rope_stride(), task.slots, n);
  score(task);
  const HeadRows ropes = task.ring.ropes(task.slots, n, scratch.rope_scales);
  add_scores(*kernels_, task.query.rope, ropes, config_->n_heads, scratch.heads, scratch.scores);
  running->weigh(*kernels_, n, scratch.scores);
  sum_latents(task);
  subtract_means(task, running);
  add_values(task, running);
}

// Finds or computes the gates of the tile's groups, and what of them the loops over heads would read again and again.
void GroupedAttention::load_gates(const Task& task) const {
  const Scratch& s = task.s;
  static_assert(kMaxSegments <= Materialiser::kMaxGates);
  const RowShape& shape = pool_->shape();
  const int32_t lanes = padded_lanes(config_->n_heads);
  int32_t missing[kMaxSegments], ids[kMaxSegments], n_missing = 0;
  for (int32_t i = 0; i < task.tile.n_segments; ++i) {
    const GroupSegment& segment = task.segments[i];
    if (segment.gate_row < 0) {
      s.gates[i] = shape.at(s.own_gates, size_t(i));
      ids[n_missing] = segment.id;
      missing[n_missing++] = i;
      continue;
    }
    s.gates[i] = pool_->row(task.ring.layer, segment.gate_row);
    prefetch(s.gates[i].keys, shape.key_bytes);
    prefetch(s.gates[i].values, shape.value_bytes);
  }
  if (n_missing > 0) materialiser_->compute_gates(task.ring.layer, ids, n_missing, task.materialiser_scratch);
  for (int32_t i = 0; i < n_missing; ++i)
    store_row(*kernels_, shape, task.materialiser_scratch.gates + i * materialiser_->up_stride(), s.gates[missing[i]]);
  for (int32_t i = 0; i < task.tile.n_segments && plan_.cache == Precision::i8; ++i) {
    const int32_t self = 0;
    const RowList gate{&shape, s.gates[i], &self, 1};
    gather_scales(*kernels_, gate, RowSide::keys, lanes, s.content_d + i * lanes);
    gather_scales(*kernels_, gate, RowSide::values, lanes, s.value_d + i * lanes);
  }
}

// A head's gate of the content, as floats: in place, or widened into `buffer`.
const float* GroupedAttention::gate_of(Row row, int32_t head, float scale, float* buffer) const {
  const int32_t at = head * pool_->shape().padded_content;
  if (plan_.cache == Precision::f32) return reinterpret_cast<const float*>(row.keys) + at;
  kernels_->dequantize_row(reinterpret_cast<const int8_t*>(row.keys) + at, scale, config_->content_width, buffer);
  return buffer;
}

// a of every group and head: products q g of 8 bits, multiplied by the integers of W_UK, and rounded again for the
// scores.
void GroupedAttention::absorb_integers(const Task& task) const {
  const Scratch& s = task.s;
  const Config& c = *config_;
  const int32_t padded = pool_->shape().padded_content, n_blocks = keys_.n_blocks(), lanes = padded_lanes(c.n_heads);
  const int32_t block_stride = n_latent_blocks_ == 1 ? latent_stride_ : kBlockCols;
  for (int32_t h = 0; h < c.n_heads; ++h) {
    for (int32_t b = 0; b < n_blocks; ++b) {
      const float* q = scaled_query_ + size_t(h * n_blocks + b) * size_t(padded);
      for (int32_t i = 0; i < task.tile.n_segments; ++i) {
        const int8_t* gate = reinterpret_cast<const int8_t*>(s.gates[i].keys) + h * padded;
        s.product_d[i * n_blocks + b] =
            kernels_->quantize_product(q, gate, padded, s.products + i * padded) * s.content_d[i * lanes + h];
      }
      kernels_->matmul_i8_i32(keys_.matrix(task.ring.layer, h, b), padded / kBlockCols, kBlockCols / kPanelRows,
                              s.products, task.tile.n_segments, s.dots + b * kBlockCols, size_t(latent_stride_));
    }
    for (int32_t i = 0; i < task.tile.n_segments; ++i) {
      for (int32_t block = 0; block < n_latent_blocks_; ++block) {
        const int32_t at = block * kBlockCols, column = i * n_latent_blocks_ + block;
        s.query_d[column * lanes + h] = kernels_->quantize_dots(
            s.dots + i * latent_stride_ + at, s.product_d + i * n_blocks + block, ring_->shape().block_width(block),
            s.query + (column * c.n_heads + h) * block_stride);
      }
    }
  }
}

void GroupedAttention::absorb_floats(const Task& task) const {
  const Scratch& s = task.s;
  const Config& c = *config_;
  const Linear& up = weights_->layers[task.ring.layer].kv_b;
  for (int32_t i = 0; i < task.tile.n_segments; ++i) {
    for (int32_t h = 0; h < c.n_heads; ++h) {
      const float* q = task.query.content.x + h * task.query.content.stride;
      const float scale = plan_.cache == Precision::i8 ? s.content_d[i * padded_lanes(c.n_heads) + h] : 1;
      const float* gate = gate_of(s.gates[i], h, scale, s.widened);
      float *product = s.product, *a = s.query_x + (i * c.n_heads + h) * latent_stride_;
      kernels_->multiply(q, gate, c.content_width, product);
      const int32_t first = h * c.kv_head_width() / kPanelRows;
      apply_transposed(*kernels_, {up, first, first + c.content_width / kPanelRows}, product, Precision::f32, a);
    }
  }
}

HeadRows GroupedAttention::latents_of(const Task& task, const GroupSegment& segment, int32_t block,
                                      const float* rho) const {
  const int32_t offset = segment.first - task.tile.first;
  return task.ring.latents(task.slots + offset, segment.n, block, config_->n_heads, rho + offset, task.s.row_scales);
}

// The tokens' scalars of norm_g, and scores that hold what the means take off.
void GroupedAttention::load_scalars(const Task& task) const {
  const Scratch& s = task.s;
  const CacheShape& shape = ring_->shape();
  const int32_t lanes = padded_lanes(config_->n_heads);
  const auto gather = [&](int32_t at, float* out) {
    ring_->gather_scalars(task.ring.layer, task.slots, task.tile.n, at, 1, out, 1);
  };
  float *rho_k = s.rho, *rho_v = s.rho + kMaxTokens;
  for (int32_t i = 0; i < task.tile.n && shape.n_rho == 0; ++i) rho_k[i] = 1;
  if (shape.n_rho > 0) gather(shape.rho_at(), rho_k);
  if (shape.n_rho > 1) gather(shape.rho_at() + 1, rho_v);
  else
    for (int32_t i = 0; i < task.tile.n; ++i) rho_v[i] = rho_k[i];
  if (shape.n_means == 0) return s.tile.clear_scores(task.tile.n, lanes);
  gather(shape.mean_at(), s.mean);
  kernels_->outer_rows(query_sums_, s.mean, task.tile.n, lanes, s.tile.scores);
}

void GroupedAttention::score(const Task& task) const {
  const Scratch& s = task.s;
  const Config& c = *config_;
  const int32_t lanes = padded_lanes(c.n_heads);
  const float* rho_k = s.rho;
  const int32_t block_stride = n_latent_blocks_ == 1 ? latent_stride_ : kBlockCols;
  for (int32_t i = 0; i < task.tile.n_segments; ++i) {
    const GroupSegment& segment = task.segments[i];
    const int32_t offset = segment.first - task.tile.first;
    for (int32_t block = 0; block < n_latent_blocks_; ++block) {
      const int32_t column = i * n_latent_blocks_ + block;
      const HeadQuery query =
          is_integer_ ? HeadQuery{nullptr, 0, s.query + column * c.n_heads * block_stride, s.query_d + column * lanes}
                      : HeadQuery{s.query_x + i * c.n_heads * latent_stride_ + block * kBlockCols, latent_stride_,
                                  nullptr, nullptr};
      add_scores(*kernels_, query, latents_of(task, segment, block, rho_k), c.n_heads, s.tile.heads,
                 s.tile.scores + offset * lanes);
    }
  }
}

void GroupedAttention::sum_latents(const Task& task) const {
  const Scratch& s = task.s;
  const Config& c = *config_;
  const int32_t lanes = padded_lanes(c.n_heads), head_stride = kMaxSegments * latent_stride_;
  const float* rho_v = s.rho + kMaxTokens;
  for (int32_t j = 0; j < c.n_heads * head_stride; ++j) s.sums.x[j] = 0;
  for (int32_t i = 0; i < task.tile.n_segments; ++i) {
    const GroupSegment& segment = task.segments[i];
    const int32_t offset = segment.first - task.tile.first;
    float* sums = s.sums.x + i * latent_stride_;
    for (int32_t block = 0; block < n_latent_blocks_; ++block)
      add_sums(*kernels_, s.tile.scores + offset * lanes, latents_of(task, segment, block, rho_v), c.n_heads,
               s.tile.heads, sums + block * kBlockCols, head_stride);
    for (int32_t h = 0; h < c.n_heads && c.latent_width < latent_stride_; ++h) {
      for (int32_t j = c.latent_width; j < latent_stride_; ++j) sums[h * head_stride + j] = 0;
    }
  }
}

// out_h -= p . mean, with the means of values: those of keys, still there from the scores, where they are the same.
void GroupedAttention::subtract_means(const Task& task, RunningSoftmax* running) const {
  const Scratch& s = task.s;
  const CacheShape& shape = ring_->shape();
  if (shape.n_means == 0) return;
  if (shape.n_means > 1)
    ring_->gather_scalars(task.ring.layer, task.slots, task.tile.n, shape.mean_at() + 1, 1, s.mean, 1);
  for (int32_t h = 0; h < running->lanes; ++h) s.shift[h] = 0;
  kernels_->sum_rows(s.tile.scores, s.mean, task.tile.n, running->lanes, s.shift);
  for (int32_t h = 0; h < config_->n_heads; ++h) {
    float* out = running->out + h * running->width;
    kernels_->shift_scale(out, s.shift[h], 1, config_->value_width, out);
  }
}

// out_h += g (W_UV s) for every group.
void GroupedAttention::add_values(const Task& task, RunningSoftmax* running) const {
  const Scratch& s = task.s;
  const Config& c = *config_;
  const RowShape& shape = pool_->shape();
  const Linear& up = weights_->layers[task.ring.layer].kv_b;
  const int32_t n = task.tile.n_segments, lanes = padded_lanes(c.n_heads);
  Columns sums = s.sums;
  for (int32_t h = 0; h < c.n_heads; ++h, sums.x += kMaxSegments * latent_stride_) {
    float* out = running->out + h * running->width;
    const int32_t first = (h * c.kv_head_width() + c.content_width) / kPanelRows;
    apply_columns(*kernels_, {up, first, first + c.value_width / kPanelRows},
                  sums.prepare(*kernels_, n, plan_.activations, up.type), n, s.values, size_t(shape.padded_value));
    for (int32_t i = 0; i < n; ++i) {
      const uint8_t* gate = s.gates[i].values + size_t(h * shape.padded_value) * number_bytes(shape.precision);
      float* values = s.values + i * shape.padded_value;
      if (plan_.cache == Precision::i8) {
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
