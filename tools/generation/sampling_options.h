// How the next token is drawn, in the words that people use.
#ifndef PITH_GENERATION_SAMPLING_OPTIONS_H
#define PITH_GENERATION_SAMPLING_OPTIONS_H

#include <cstdint>
#include <string>
#include <vector>

#include "pith/pith.hpp"

namespace pith {

// As people say it: 0 is greedy, all tokens, no token.
struct SamplingOptions {
  float temperature = 0.8f, top_p = 0.95f, min_p = 0.05f, repeat_penalty = 1;
  uint32_t top_k = 40, repeat_window = 64;
  uint64_t seed = 1;
  bool has_seed = false;  // it was given
  std::vector<std::string> stops;

  pith_sampler_options resolve() const;
};

}  // namespace pith

#endif
