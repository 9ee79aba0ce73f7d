// A model as the equations have it: float32 matrices row by row, nothing folded, from a float GGUF or from a packed one,
// whose matrices are dequantised and whose folds are undone.
#ifndef PITH_PARITY_PLAIN_MODEL_H
#define PITH_PARITY_PLAIN_MODEL_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"

namespace pith::parity {

using namespace internal;

struct PlainModel {
  Config config;
  std::map<std::string, std::vector<float>> tensors;  // by name, matrices [rows, cols]
  std::vector<uint64_t> rope_turns;                   // [d_r / 2] turns per position, 0.64 fixed point
  bool is_rounded = false;                            // a matrix is int8 or int4

  const std::vector<float>* find(const std::string& name) const;
};

// The configuration alone. Throws std::runtime_error.
Config read_plain_config(const void* data, size_t size);

// 1 / sqrt(d_n + d_r), times mscale^2 under YaRN; mscale = 1 + yarn_log_multiplier ln(factor).
double score_scale(const Config& config);
// What LongRoPE multiplies cos and sin by: sqrt(1 + ln(factor) / ln(original context)); 1 otherwise.
double rope_magnitude(const Config& config);

// noise_seed other than 0: every int8 or int4 weight is moved by up to half a step of its scale, evenly at random. Two such
// models differ as a model and its quantised form do: what that does to a tensor is what rounding explains.
// Throws std::runtime_error with a sentence that names the key or tensor.
PlainModel load_plain_model(const void* data, size_t size, uint64_t noise_seed = 0);

}  // namespace pith::parity

#endif
