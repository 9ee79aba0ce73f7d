// A model in GGUF files: pith's own float models, and those of other programs.
#ifndef PITH_QUANTIZE_GGUF_SOURCE_H
#define PITH_QUANTIZE_GGUF_SOURCE_H

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf_config.h"
#include "model_source.h"
#include "open_file.h"

namespace pith::quantize {

using namespace internal;

// A file's bytes, its path where it has one, and whether they are mapped.
struct FileBytes {
  const void* data;
  size_t size;
  std::string path = {};
  bool is_mapped = false;
};

// The tensors of the architectures in architectures.h have the names of pith's own. Two things differ: what frequencies are
// divided by is a tensor (rope_freqs.weight, rope_factors_{long,short}.weight), and latent attention has two layouts of
// W_UKV: attn_kv_b.weight, or its halves
//   attn_k_b.weight [n_h][r][d_n], transposed, and attn_v_b.weight [n_h][d_v][r].
class GgufSource : public ModelSource {
 public:
  // One file, or all those that a model is split over, in order. The bytes must outlive the source. Throws
  // std::runtime_error: see ModelSource.
  explicit GgufSource(std::vector<FileBytes> files);

  const Config& config() const override { return shape_.config; }
  void write_metadata(GgufWriter* writer) const override;
  std::vector<std::string> notices() const override;
  std::vector<float> rope_divisors() const override { return divisors_; }
  bool has(const TensorSpec& spec) const override;
  void load_rows(const TensorSpec& spec, int64_t first, int64_t n, float* out) const override;
  std::optional<WeightType> exact_type(const TensorSpec& spec) const override;
  CodesOf codes(const TensorSpec& spec) const override;
  std::string stored_type(const TensorSpec& spec) const override;
  double bits_per_weight(const TensorSpec& spec) const override;
  void drop_pages() const override;

 private:
  const ModelFile& first() const { return parts_.front()->file; }
  const TensorEntry* find(std::string_view name) const;
  const TensorEntry* stored(const TensorSpec& spec) const;  // the tensor, or the half of W_UKV with fewer bits
  bool is_of_extra_layer(std::string_view name) const;
  void check_vocabulary() const;
  void write_padded(const MetaEntry& entry, GgufWriter* writer) const;
  void read_shape();
  void read_divisors();
  void check_tensors() const;
  void load_halves(const TensorSpec& spec, int64_t first, int64_t n, float* out) const;

  std::vector<FileBytes> files_;
  std::vector<std::unique_ptr<OpenFile>> parts_;
  std::map<std::string_view, const TensorEntry*> tensors_;
  bool is_own_ = false;  // of pith's own architecture
  GgufConfig shape_;
  std::vector<float> divisors_;      // of frequencies, [d_r / 2] or empty
  mutable std::vector<float> head_;  // [r, d_n]: of attn_k_b, of head head_index_
  mutable std::pair<std::string, int64_t> head_index_;
};

}  // namespace pith::quantize

#endif
