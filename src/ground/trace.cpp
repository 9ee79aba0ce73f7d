#include "ground/trace.h"

namespace pith::internal {

void Trace::tensor(const char* name, int32_t layer, int32_t token, const float* x, int32_t n) const {
  if (sink_ != nullptr) sink_->take(sink_->context, name, layer, token, x, n);
}

void Trace::tensors(const char* name, int32_t layer, int32_t first, int32_t n_tokens, const float* x, size_t stride,
                    int32_t n) const {
  for (int32_t i = 0; i < n_tokens; ++i) tensor(name, layer, first + i, x + stride * size_t(i), n);
}

void Trace::score(int32_t layer, int32_t token, int32_t head, int32_t slot, float x) const {
  if (sink_ != nullptr) sink_->take_score(sink_->context, layer, token, head, slot, x);
}

void Trace::scores(int32_t layer, int32_t token, int32_t n_heads, const int32_t* slots, int32_t n, const float* x,
                   int32_t lanes) const {
  for (int32_t i = 0; i < n; ++i) {
    for (int32_t head = 0; head < n_heads; ++head) score(layer, token, head, slots[i], x[i * lanes + head]);
  }
}

}  // namespace pith::internal
