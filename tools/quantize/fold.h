// Folding: what a float model computes around the cache, moved offline into its matrices (in double).
//
//   W_Q (or W_UQ) rows, and their bias:  content rows of head h  times gamma_k,h * s     s = mscale^2 / sqrt(d_n + d_r)
//                                        rotary rows             times s * m^2           m: LongRoPE's magnitude
//   gamma of queries' heads              times s * m^2, where heads are normed: W_Q stays as it is
//   W_O columns of head h                times gamma_v,h
//   attn_output.bias                     plus W_O beta_v; beta_k cancels in the softmax and is dropped
//
// gamma, beta are norm_g's, for gate `up`; elsewhere only s and m are folded. mscale = 1 + yarn_log_multiplier ln(factor)
// (YaRN as DeepSeek-V2 defines it); m = sqrt(1 + ln(factor) / ln(original context)) (LongRoPE as Phi-3 defines it).
#ifndef PITH_QUANTIZE_FOLD_H
#define PITH_QUANTIZE_FOLD_H

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/config.h"

namespace pith::quantize {

using namespace internal;

// s: 1 / sqrt(d_n + d_r), times mscale^2 under YaRN.
double score_scale(const Config& config);
// m^2: 1 but for LongRoPE.
double rope_magnitude_squared(const Config& config);

// What folding does to the tensors of one layer. A configuration's content_query_scale and rope_query_scale say what of s
// and s m^2 stays outside of W_Q.
class LayerFold {
 public:
  // norm_g's vectors in kv_b order, [n_h (d_n + d_v)]; empty where the layer has none, or they are not folded.
  LayerFold(const Config& config, std::vector<float> gamma, std::vector<float> beta);

  // Rows [first, first + n) of a tensor, in place; its name without "blk.N.", such as "attn_q.weight". A vector is rows of
  // one number. Tensors that have nothing to fold stay as they are.
  void apply(std::string_view tensor, int64_t first, std::span<float> rows) const;

  // Whether attn_output.bias grows by W_O beta_v; and by how much in a row [n_h d_v] of W_O that is not folded yet.
  bool shifts() const;
  double shift(std::span<const float> row) const;

 private:
  void scale_query(int64_t first, size_t cols, std::span<float> rows) const;
  void scale_output(std::span<float> rows) const;
  size_t value_channel(size_t column) const;  // of a column of W_O

  const Config& config_;
  std::vector<float> gamma_, beta_;
};

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
