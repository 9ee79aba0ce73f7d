// The reference: the forward pass of the equations in float32, on the host or on a GPU, as a trace.
#ifndef PITH_PARITY_REFERENCE_H
#define PITH_PARITY_REFERENCE_H

#include <stdexcept>
#include <vector>

#include "forward_trace.h"
#include "plain_model.h"

namespace pith::parity {

ForwardTrace run_host_reference(const PlainModel& model, const std::vector<int32_t>& tokens);

// There is no CUDA device, or this build has no CUDA; the sentence says which.
class NoDevice : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// float32 throughout, TF32 off. Throws NoDevice, or std::runtime_error with CUDA's sentence.
ForwardTrace run_cuda_reference(const PlainModel& model, const std::vector<int32_t>& tokens);

// Throws std::runtime_error for a token that a vocabulary of this size lacks.
void check_tokens(int64_t vocab_size, const std::vector<int32_t>& tokens);

}  // namespace pith::parity

#endif
