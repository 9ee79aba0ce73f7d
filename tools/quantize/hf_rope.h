// The rotary embedding of a config.json: rope_theta and rope_scaling, or rope_parameters.
#ifndef PITH_QUANTIZE_HF_ROPE_H
#define PITH_QUANTIZE_HF_ROPE_H

#include <cstdint>
#include <string>
#include <vector>

#include "hf_keys.h"
#include "model/config.h"

namespace pith::quantize {

using namespace internal;

class HfRope {
 public:
  // Reads its keys from those of config.json, and adds what a model file says of them to `keys`.
  HfRope(HfKeys* from, AttentionKind attention, float default_base, json::Document* keys);

  // Of the configuration that came of the keys; empty where no frequency is divided.
  //   linear:   every frequency by the factor
  //   longrope: by the long factors where the context is longer than the original one, else by the short ones
  //   llama3:   with turns = original context * frequency / (2 pi): nothing from high_freq_factor turns on, by the factor
  //             up to low_freq_factor turns, and between them t = (turns - low) / (high - low) of the way:
  //             frequency * ((1 - t) / factor + t)
  // Source: transformers' modeling_rope_utils.py, _compute_<type>_parameters.
  std::vector<float> divisors(const Config& config) const;
  const std::vector<std::string>& notices() const { return notices_; }

 private:
  void read_yarn(AttentionKind attention, json::Document* keys);
  void read_longrope(json::Document* keys);
  double llama3_divisor(double frequency) const;

  HfKeys parameters_;
  std::string type_;
  double factor_ = 1, original_context_ = 0;  // tokens
  double low_turns_ = 0, high_turns_ = 0;     // llama3
  std::vector<double> short_, long_;          // longrope
  std::vector<std::string> notices_;
};

}  // namespace pith::quantize

#endif
