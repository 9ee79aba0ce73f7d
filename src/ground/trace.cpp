#include "ground/trace.h"

namespace pith::internal {

void Trace::tensor(const char* name, int32_t layer, const float* x, int32_t n) const {
  if (sink_ != nullptr) sink_->take(sink_->context, name, layer, x, n);
}

}  // namespace pith::internal
