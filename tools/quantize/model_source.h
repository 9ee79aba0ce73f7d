// Where the packer takes a model from: a float GGUF of pith's own, files of other programs, random numbers.
#ifndef PITH_QUANTIZE_MODEL_SOURCE_H
#define PITH_QUANTIZE_MODEL_SOURCE_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf_writer.h"
#include "model/config.h"
#include "model/tensor_list.h"
#include "packed.h"
#include "quantizer.h"

namespace pith::quantize {

using namespace internal;

// Tensors are asked for by the specs of TensorList(config()), in any order, some rows at a time.
// Sources are untrusted: what they refuse is a std::runtime_error that names the file, key or tensor, thrown by the
// constructor for everything but the numbers themselves.
class ModelSource {
 public:
  virtual ~ModelSource() = default;

  virtual const Config& config() const = 0;
  // Adds the keys that are the source's own (name, vocabulary, chat template); those of the configuration are not.
  virtual void write_metadata(GgufWriter* writer) const = 0;
  // Sentences for the user: what was left out or passed over, such as a vocabulary that a model file cannot hold.
  virtual std::vector<std::string> notices() const { return {}; }
  // What the frequencies of rotated pairs are divided by, [d_r / 2]; or empty.
  virtual std::vector<float> rope_divisors() const { return {}; }

  virtual bool has(const TensorSpec& spec) const = 0;
  // out [n, cols]: rows [first, first + n) of a tensor that the source has, all finite.
  virtual void load_rows(const TensorSpec& spec, int64_t first, int64_t n, float* out) const = 0;

  // The packed type that holds the stored numbers without rounding them again (gguf_blocks.h says how exactly), if there is
  // one; codes() then gives those of any row's block of 32 columns, to several threads.
  virtual std::optional<WeightType> exact_type(const TensorSpec&) const { return std::nullopt; }
  virtual CodesOf codes(const TensorSpec&) const { return {}; }
  // The type of the stored numbers, in the source's words.
  virtual std::string stored_type(const TensorSpec&) const { return "float"; }
  // Bits that the source spends on a weight, scales included.
  virtual double bits_per_weight(const TensorSpec& spec) const = 0;

  // Gives back memory that holds bytes of files, which are read again when they are needed: files may be larger than it.
  virtual void drop_pages() const {}
};

}  // namespace pith::quantize

#endif
