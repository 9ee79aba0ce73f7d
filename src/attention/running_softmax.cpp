#include "attention/running_softmax.h"

namespace pith::internal {

void RunningSoftmax::reset_sum() {
  for (int32_t h = 0; h < lanes; ++h) {
    max[h] = -__builtin_inff();
    sum[h] = 0;
  }
}

void RunningSoftmax::reset() {
  reset_sum();
  for (int32_t i = 0; i < n_heads * width; ++i) out[i] = 0;
}

void RunningSoftmax::weigh(const Kernels& k, int32_t n, float* x) {
  float *shrink = factor, *unused = factor + lanes;
  for (int32_t h = 0; h < lanes; ++h) {
    shrink[h] = max[h];
    unused[h] = 0;
  }
  k.max_rows(x, n, lanes, max);
  k.exp_rows(shrink, max, 1, lanes, unused);
  k.multiply(sum, shrink, lanes, sum);
  for (int32_t h = 0; h < n_heads; ++h) {
    if (shrink[h] != 1) k.shift_scale(out + h * width, 0, shrink[h], width, out + h * width);
  }
  k.exp_rows(x, max, n, lanes, sum);
}

void RunningSoftmax::add_sum(const Kernels& k, const RunningSoftmax& part) {
  float* unused = factor + 2 * lanes;
  for (int32_t h = 0; h < lanes; ++h) {
    factor[h] = max[h];
    factor[lanes + h] = part.max[h];
    unused[h] = 0;
  }
  k.max_rows(part.max, 1, lanes, max);
  k.exp_rows(factor, max, 2, lanes, unused);
  k.multiply(sum, keep(), lanes, sum);
  k.multiply(part.sum, weight(), lanes, part.sum);
  k.add(sum, part.sum, lanes, sum);
}

void RunningSoftmax::add_tile(const Kernels& k, RunningSoftmax tile, int32_t n, float* x) {
  tile.reset_sum();
  k.max_rows(x, n, lanes, tile.max);
  k.exp_rows(x, tile.max, n, lanes, tile.sum);
  add_sum(k, tile);
}

void RunningSoftmax::add(const Kernels& k, const RunningSoftmax& part, int32_t value_width) {
  add_sum(k, part);
  k.blend_rows(keep(), weight(), part.out, size_t(part.width), n_heads, value_width, out, size_t(width));
}

void RunningSoftmax::finish(const Kernels& k, int32_t value_width) {
  for (int32_t h = 0; h < n_heads; ++h) k.shift_scale(out + h * width, 0, 1.0f / sum[h], value_width, out + h * width);
}

void SoftmaxSplits::lay_out(const Setup& setup, int32_t max_splits, int32_t width, Arena* arena) {
  n_heads_ = setup.config.n_heads;
  lanes_ = padded_lanes(n_heads_);
  width_ = width;
  const size_t splits = size_t(max_splits), lanes = size_t(lanes_);
  max_ = arena->take<float>(splits * lanes);
  sum_ = arena->take<float>(splits * lanes);
  out_ = arena->take<float>(splits * size_t(n_heads_) * size_t(width));
  total_ = arena->take<float>(5 * lanes);
  factor_ = arena->take<float>(size_t(setup.plan.max_threads) * 3 * lanes);
}

RunningSoftmax SoftmaxSplits::split(int32_t split, float* factor) const {
  const size_t p = size_t(split);
  return {max_ + p * size_t(lanes_),
          sum_ + p * size_t(lanes_),
          out_ + p * size_t(n_heads_) * size_t(width_),
          factor,
          n_heads_,
          lanes_,
          width_};
}

RunningSoftmax SoftmaxSplits::begin(int32_t split, int32_t thread) const {
  RunningSoftmax running = this->split(split, factor_ + size_t(thread) * 3 * size_t(lanes_));
  running.reset();
  return running;
}

// e^(max_p - max) / sum of every split p and head, in the place of its maximum, where max and sum are those of all.
void SoftmaxSplits::weigh(const Kernels& k, int32_t n_splits) const {
  float *max = total_, *sum = total_ + lanes_, *unused = total_ + 2 * lanes_;
  for (int32_t h = 0; h < lanes_; ++h) {
    max[h] = -__builtin_inff();
    sum[h] = unused[h] = 0;
  }
  k.max_rows(max_, n_splits, lanes_, max);
  k.exp_rows(max_, max, n_splits, lanes_, unused);
  k.multiply(max_, sum_, n_splits * lanes_, sum_);
  for (int32_t p = 0; p < n_splits; ++p) k.add(sum, sum_ + p * lanes_, lanes_, sum);
  for (int32_t p = 0; p < n_splits; ++p) {
    for (int32_t h = 0; h < lanes_; ++h) max_[p * lanes_ + h] /= sum[h];
  }
}

void SoftmaxSplits::merge_head(const Kernels& k, int32_t n_splits, int32_t head, int32_t value_width,
                               float* out) const {
  const size_t stride = size_t(n_heads_) * size_t(width_);
  for (int32_t p = 0; p < n_splits; ++p) {
    const float* part = out_ + size_t(p) * stride + size_t(head) * size_t(width_);
    const float weight = max_[p * lanes_ + head];
    if (p == 0) k.shift_scale(part, 0, weight, value_width, out);
    else k.axpy(weight, part, value_width, out);
  }
}

void SoftmaxSplits::merge(const Kernels& k, int32_t n_splits, int32_t value_width, float* merged) const {
  RunningSoftmax whole{total_, total_ + lanes_, merged, total_ + 2 * lanes_, n_heads_, lanes_, value_width};
  whole.reset();
  for (int32_t p = 0; p < n_splits; ++p) whole.add(k, split(p, nullptr), value_width);
  whole.finish(k, value_width);
}

}  // namespace pith::internal
