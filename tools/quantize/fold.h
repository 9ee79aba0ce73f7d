// Folding: what a float model computes around the cache, moved offline into its matrices (in double).
//
//   W_Q (or W_UQ) rows, and their bias:  content rows of head h  times gamma_k,h * s     s = mscale^2 / sqrt(d_n + d_r)
//                                        rotary rows             times s * m^2           m: LongRoPE's magnitude
//   W_O columns of head h                times gamma_v,h
//   attn_output.bias                     plus W_O beta_v; beta_k cancels in the softmax and is dropped
//
// gamma, beta are norm_g's, for gate `up`; elsewhere only s and m are folded. mscale = 1 + yarn_log_multiplier ln(factor)
// (YaRN as DeepSeek-V2 defines it); m = sqrt(1 + ln(factor) / ln(original context)) (LongRoPE as Phi-3 defines it).
#ifndef PITH_QUANTIZE_FOLD_H
#define PITH_QUANTIZE_FOLD_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/config.h"

namespace pith::quantize {

using namespace internal;

// A layer's tensors by name without "blk.N.", such as "attn_q.weight"; matrices row by row.
using LayerTensors = std::map<std::string, std::vector<float>>;

void fold_layer(const Config& config, LayerTensors* tensors);

// Turns per position of every rotated pair, unsigned 0.64 fixed point: base^(-2i / d_r) / (2 pi), scaled by YaRN, or
// divided by the `divisors` of LongRoPE [d_r / 2] (empty otherwise).
//   YaRN: dim(n) = d_r ln(original / (2 pi n)) / (2 ln base); low = max(floor(dim(beta_fast)), 0), high =
//   min(ceil(dim(beta_slow)), d_r - 1), plus 0.001 if equal; ramp_i = clamp((i - low) / (high - low), 0, 1);
//   the frequency is multiplied by (1 - ramp_i) + ramp_i / factor
// Sources: transformers' modeling_rope_utils.py, _compute_yarn_parameters and _compute_longrope_parameters; DeepSeek-V2's
// modeling_deepseek.py, yarn_find_correction_range. Whole turns drop out: they change no angle. Throws std::runtime_error
// for divisors that are not positive, and for YaRN with a base of 1.
std::vector<uint64_t> rope_turns(const Config& config, const std::vector<float>& divisors);

}  // namespace pith::quantize

#endif
