#include "reference.h"

#include <fmt/core.h>

#include "host_device.h"
#include "reference_forward.h"

namespace pith::parity {

void check_tokens(int64_t vocab_size, const std::vector<int32_t>& tokens) {
  for (const int32_t id : tokens) {
    if (id < 0 || id >= vocab_size)
      throw std::runtime_error(
          fmt::format("token {}: the vocabulary has {} tokens; is the trace of another model?", id, vocab_size));
  }
}

ForwardTrace run_host_reference(const PlainModel& model, const std::vector<int32_t>& tokens) {
  check_tokens(model.config.vocab_size, tokens);
  ForwardTrace trace = ReferenceForward<HostDevice>(model, tokens).run();
  trace.provenance = {{"writer", "reference"}, {"device", "host"}, {"precision", "float32"}};
  return trace;
}

#ifndef PITH_CUDA
ForwardTrace run_cuda_reference(const PlainModel&, const std::vector<int32_t>&) {
  throw NoDevice("no CUDA device: this build has no CUDA; configure it with -DPITH_CUDA=ON where nvcc is");
}
#endif

}  // namespace pith::parity
