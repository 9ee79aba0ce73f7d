#include "synth.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

#include "byte_vocabulary.h"
#include "half.h"
#include "metadata_writer.h"
#include "model_source.h"
#include "model/tensor_list.h"
#include "named_shapes.h"
#include "pith/pith.hpp"

namespace pith::quantize {
namespace {

[[maybe_unused]] constexpr size_t kThreadedWeights = 1 << 16;  // of which no fewer are worth waking a team

uint64_t mix(uint64_t x) {  // SplitMix64's finaliser
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// About normal, mean 0, variance 1: the sum of four uniform 16-bit numbers, by counter.
float normal(uint64_t stream, uint64_t index) {
  const uint64_t bits = mix(stream + index * 0x9e3779b97f4a7c15ull);
  double total = 0;
  for (int i = 0; i < 4; ++i) total += double(bits >> (16 * i) & 0xffff);
  return float((total / 65536 - 2) * 1.7320508075688772);  // variance of the sum: 4 / 12
}

// Standard deviation of a tensor's values. A tied embedding is an output matrix too.
double spread_of(const SynthSpec& spec, const TensorSpec& tensor) {
  const std::string_view name = tensor.name;
  if (tensor.kind == TensorKind::vector) return 0.2;
  const bool is_table = (name == "token_embd.weight" && !spec.tied) || name.starts_with("gate_embd.");
  return is_table ? 1.0 : 1.0 / std::sqrt(double(tensor.cols));
}

uint64_t stream_of(const SynthSpec& spec, const TensorSpec& tensor) {
  uint64_t stream = spec.seed;
  for (const char* c = tensor.name; *c != '\0'; ++c) stream = mix(stream ^ uint8_t(*c));
  return stream;
}

// Rows [first, first + n) of a tensor: out [n, cols].
void fill_rows(const SynthSpec& spec, const TensorSpec& tensor, int64_t first, int64_t n, float* out) {
  const std::string_view name = tensor.name;
  const uint64_t stream = stream_of(spec, tensor);
  const bool is_gamma = tensor.kind == TensorKind::vector && name.ends_with("norm.weight");
  const float spread = float(spread_of(spec, tensor)), mean = is_gamma ? 1.0f : 0.0f;
  const size_t at = size_t(first) * size_t(tensor.cols), size = size_t(n) * size_t(tensor.cols);
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (size >= kThreadedWeights)
#endif
  for (size_t i = 0; i < size; ++i) out[i] = spread * normal(stream, at + i) + mean;
}

// LayerNorms have their beta; the other optional tensors are there on request.
bool is_present(const SynthSpec& spec, const TensorSpec& tensor) {
  const std::string_view name = tensor.name;
  const Config& c = spec.config;
  if (name == "output.weight") return !spec.tied;
  const bool is_gate_norm = name.ends_with("attn_gate_norm.bias");
  const bool is_beta = is_gate_norm ? c.gate_norm != GateNorm::rms : name.ends_with("norm.bias");
  const bool is_qkv = name.ends_with("attn_q.bias") || name.ends_with("attn_k.bias") || name.ends_with("attn_v.bias");
  // DeepSeek-V3 and its descent have one where scores are sigmoids.
  const bool is_correction = name.ends_with("exp_probs_b.bias") && c.expert_gating == ExpertGating::sigmoid;
  return tensor.presence == Presence::required || is_beta || is_correction || spec.biases ||
         (is_qkv && spec.qkv_biases);
}

std::vector<TensorSpec> tensors_of(const SynthSpec& spec) {
  std::vector<TensorSpec> out;
  TensorList list(spec.config);
  TensorSpec tensor;
  while (list.next(&tensor)) {
    if (is_present(spec, tensor)) out.push_back(tensor);
  }
  return out;
}

// LongRoPE's divisors: from 1 for the fastest pair to the factor for the slowest.
std::vector<float> rope_divisors(const Config& c) {
  std::vector<float> out;
  for (int32_t i = 0; i < c.rope_width / 2; ++i)
    out.push_back(1 + (c.rope_factor - 1) * float(i) / float(c.rope_width / 2));
  return out;
}

void write_metadata(const SynthSpec& spec, GgufWriter* writer) {
  write_config(spec.config, writer);
  writer->add_string("general.name", spec.name);
  writer->add_string("general.description", "random weights");
  write_byte_vocabulary(spec.config.vocab_size, writer);
}

GgufWriter float_writer(const SynthSpec& spec, const std::vector<TensorSpec>& tensors) {
  GgufWriter writer;
  write_metadata(spec, &writer);
  for (const TensorSpec& tensor : tensors) {
    std::vector<uint64_t> dims = {uint64_t(tensor.cols)};
    if (tensor.kind != TensorKind::vector) dims.push_back(uint64_t(tensor.matrix_rows()));
    if (tensor.kind == TensorKind::stack) dims.push_back(uint64_t(tensor.n_matrices));
    writer.add_tensor(tensor.name, TensorType::f32, dims, [&spec, &tensor](uint8_t* out) {
      fill_rows(spec, tensor, 0, tensor.rows, reinterpret_cast<float*>(out));
    });
  }
  if (spec.config.rope_scaling == RopeScaling::longrope) {
    for (const char* name : {"rope_factors_short.weight", "rope_factors_long.weight"})
      writer.add_tensor_f32(name, {uint64_t(spec.config.rope_width / 2)}, rope_divisors(spec.config));
  }
  return writer;
}

// 32 weights as codes of a packed type, evenly over most of its range, of a standard deviation of about `spread`.
BlockCodes random_codes(WeightType type, uint64_t stream, uint64_t block, double spread) {
  const bool is_q8 = type == WeightType::q8;
  const double deviation = is_q8 ? 73.6 : 4.61;  // of codes: 255 and 16 whole numbers
  BlockCodes out{};
  out.d = float_to_half(float(spread / deviation));
  out.m = type == WeightType::q4m ? float_to_half(float(-7.5 * spread / deviation)) : uint16_t(0);
  for (int32_t i = 0; i < kBlockCols; i += 8) {
    const uint64_t bits = mix(stream + (4 * block + uint64_t(i / 8)) * 0x9e3779b97f4a7c15ull);
    for (int32_t j = 0; j < 8; ++j) {
      const int32_t byte = int32_t(bits >> (8 * j) & 255);
      out.q[i + j] = int8_t(is_q8 ? std::max(byte - 128, -127) : byte % 16 - (type == WeightType::q4 ? 8 : 0));
    }
  }
  return out;
}

class SynthSource : public ModelSource {
 public:
  SynthSource(const SynthSpec& spec, WeightType type) : spec_(spec), type_(type) {}

  const Config& config() const override { return spec_.config; }
  void write_metadata(GgufWriter* writer) const override { quantize::write_metadata(spec_, writer); }
  std::vector<float> rope_divisors() const override {
    if (spec_.config.rope_scaling != RopeScaling::longrope) return {};
    return quantize::rope_divisors(spec_.config);
  }
  bool has(const TensorSpec& tensor) const override { return is_present(spec_, tensor); }
  void load_rows(const TensorSpec& tensor, int64_t first, int64_t n, float* out) const override {
    fill_rows(spec_, tensor, first, n, out);
  }
  // Experts are drawn as the codes that they are packed as: of ten thousand million weights and more, rounding takes an hour.
  std::optional<WeightType> exact_type(const TensorSpec& tensor) const override {
    if (tensor.kind != TensorKind::stack || type_ == WeightType::f32) return std::nullopt;
    return type_;
  }
  CodesOf codes(const TensorSpec& tensor) const override {
    const uint64_t stream = stream_of(spec_, tensor), blocks = uint64_t(padded_cols(tensor.cols) / kBlockCols);
    const int32_t last = tensor.cols % kBlockCols;  // columns of the last block, if it is no whole one
    const double spread = spread_of(spec_, tensor);
    return [=, type = type_](int64_t row, int32_t block) {
      BlockCodes out = random_codes(type, stream, uint64_t(row) * blocks + uint64_t(block), spread);
      const bool is_cut = last > 0 && uint64_t(block) + 1 == blocks;
      for (int32_t i = last; is_cut && i < kBlockCols; ++i) out.q[i] = 0;
      return out;
    };
  }
  double bits_per_weight(const TensorSpec&) const override { return 32; }

 private:
  const SynthSpec& spec_;
  WeightType type_;  // that matrices are packed as
};

// Takes a key that is not of the model file out of the object; false where absent.
bool take_flag(json::Document* object, const char* key) {
  const json::Document* found = object->find(key);
  if (found == nullptr) return false;
  if (!found->is_boolean()) throw std::runtime_error(fmt::format("key {}: neither true nor false", key));
  const bool value = found->boolean();
  object->remove(key);
  return value;
}

json::Document parsed(const std::string& path, const std::string& text) try {
  return json::Document::parse(text);
} catch (const json::Error&) {
  throw std::runtime_error(fmt::format("file {}: not JSON", path));
}

}  // namespace

std::vector<std::string> synth_shape_names() {
  std::vector<std::string> names;
  for (const SynthSpec& spec : named_shapes()) names.push_back(spec.name);
  return names;
}

std::optional<SynthSpec> named_spec(const std::string& name) {
  for (SynthSpec& spec : named_shapes()) {
    if (spec.name == name) return std::move(spec);
  }
  return std::nullopt;
}

std::string synth_shape_list() {
  std::string list;
  for (const std::string& name : synth_shape_names()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

SynthSpec synth_spec(const std::string& shape_or_json_path) {
  if (const std::optional<SynthSpec> named = named_spec(shape_or_json_path)) return *named;
  const Result<MappedFile> file = MappedFile::open(shape_or_json_path);
  if (!file)
    throw std::runtime_error(fmt::format("argument SHAPE: \"{}\" is none of {}, and no file that can be read ({})",
                                         shape_or_json_path, synth_shape_list(), file.error().message()));
  json::Document object = parsed(shape_or_json_path, {static_cast<const char*>(file->data()), file->size()});
  const bool tied = take_flag(&object, "tied"), biases = take_flag(&object, "biases");
  const bool qkv_biases = take_flag(&object, "qkv_biases");
  return {shape_or_json_path, config_from_json(object), tied, biases, 1, qkv_biases};
}

void synth_float(const SynthSpec& spec, const ByteSink& sink) {
  const std::vector<TensorSpec> tensors = tensors_of(spec);
  float_writer(spec, tensors).write(sink);
}

std::vector<uint8_t> synth_float(const SynthSpec& spec) {
  const std::vector<TensorSpec> tensors = tensors_of(spec);
  return float_writer(spec, tensors).bytes();
}

void synth_packed(const SynthSpec& spec, const PackOptions& options, const PackSink& sink) {
  pack_model(SynthSource(spec, options.type), options, sink);
}

PackOutline synth_outline(const SynthSpec& spec, const PackOptions& options) {
  return pack_outline(SynthSource(spec, options.type), options);
}

}  // namespace pith::quantize
