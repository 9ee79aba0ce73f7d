#include "layers/dense_feed_forward.h"

#include "layers/pointwise.h"

namespace pith::internal {

void DenseFeedForward::lay_out(const Setup& setup, Arena* arena) {
  refer_to(setup);
  const Config& c = setup.config;
  const bool has_dense = c.n_experts == 0 || c.n_dense_layers > 0;
  const int32_t width = std::max(has_dense ? c.feed_forward_width : 0, c.shared_width());
  const int32_t batch = max_batch(setup.plan);
  scratch_ = take_scratch<Scratch>(arena, [&](Scratch* s) {
    s->hidden.lay_out(batch, width, arena);
    const bool is_gated = c.feed_forward == FeedForward::swiglu;
    s->gate = arena->take<float>(size_t(batch) * size_t(padded_rows(is_gated ? width : 0)));
  });
}

void DenseFeedForward::compute(const Layer& w, Activation x, const Batch& batch, float* y) const {
  const Scratch& s = scratch_[batch.worker.thread];
  const int32_t width = w.ffn_up.rows;
  const Columns hidden = s.hidden.of_width(width);
  const size_t gate = size_t(padded_rows(width));
  const Product products[] = {{&w.ffn_up, x, hidden.x, size_t(hidden.cols)}, {&w.ffn_gate, x, s.gate, gate}};
  const bool is_gated = config_->feed_forward == FeedForward::swiglu;
  apply(*kernels_, batch.worker, {products, is_gated ? 2u : 1u}, batch.n);
  for (int32_t i = 0; i < batch.n; ++i)
    activate(*kernels_, *config_, s.gate + gate * size_t(i), width, hidden.column(i));
  hidden.pad(batch.n, width);
  const Activation a = hidden.prepare(*kernels_, batch.n, plan_.activations, w.ffn_down.type);
  const Product down{&w.ffn_down, a, y, size_t(padded_rows(w.ffn_down.rows))};
  apply(*kernels_, batch.worker, {&down, 1}, batch.n);
}

}  // namespace pith::internal
