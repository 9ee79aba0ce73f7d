#include "sampling_options.h"

#include <stdexcept>

namespace pith {

pith_sampler_options SamplingOptions::resolve() const {
  // What the library would take for a default or for a name of its own.
  if (temperature < 0) throw std::runtime_error("option temperature: not a finite number >= 0");
  if (top_p == 0) throw std::runtime_error("option top_p: not within 0 (excluded) .. 1");
  if (min_p < 0) throw std::runtime_error("option min_p: not within 0 .. 1 (excluded)");
  if (repeat_penalty == 0) throw std::runtime_error("option repeat_penalty: not a finite number > 0");
  if (repeat_window == PITH_REPEAT_WINDOW_NONE) throw std::runtime_error("option repeat_window: at most 65536");
  pith_sampler_options options = sampler_options();
  options.temperature = temperature == 0 ? PITH_GREEDY : temperature;
  options.top_k = top_k == 0 ? PITH_TOP_K_ALL : top_k;
  options.top_p = top_p;
  options.min_p = min_p == 0 ? PITH_MIN_P_NONE : min_p;
  options.repeat_penalty = repeat_penalty;
  options.repeat_window = repeat_window == 0 ? PITH_REPEAT_WINDOW_NONE : repeat_window;
  options.seed = seed;
  return options;
}

}  // namespace pith
