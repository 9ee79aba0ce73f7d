#include "pack.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include <fmt/core.h>

#include "model/config.h"
#include "fold.h"
#include "half.h"
#include "open_file.h"
#include "quantizer.h"
#include "sha256.h"
#include "model/tensor_list.h"

namespace pith::quantize {
namespace {

float element(const TensorEntry& t, size_t i) {
  switch (t.type) {
    case TensorType::f32: return read_le<float>(t.data + 4 * i);
    case TensorType::f16: return half_to_float(read_le<uint16_t>(t.data + 2 * i));
    case TensorType::bf16: {
      const uint32_t bits = uint32_t(read_le<uint16_t>(t.data + 2 * i)) << 16;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    default: break;  // check_tensors has refused it
  }
  return 0;
}

std::vector<float> floats(const TensorEntry& t) {
  size_t n = 1;
  for (const uint64_t dim : t.dims) n *= size_t(dim);
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) {
    out[i] = element(t, i);
    if (!std::isfinite(out[i])) throw std::runtime_error(fmt::format("tensor {}: element {} is not finite", t.name, i));
  }
  return out;
}

void check_shape(const TensorEntry& t, const TensorSpec& spec) {
  const bool is_matrix = spec.kind == TensorKind::matrix;
  const uint64_t rows = is_matrix ? uint64_t(spec.rows) : 1;
  if (t.dims[0] == uint64_t(spec.cols) && t.dims[1] == rows && t.dims[2] == 1 && t.dims[3] == 1) return;
  throw std::runtime_error(fmt::format("tensor {}: {} x {}; the hyper-parameters ask for {} x {}", t.name, t.dims[1],
                                       t.dims[0], rows, spec.cols));
}

// The file, opened, with its memory.
struct FloatModel : OpenFile {
  Config config;

  FloatModel(const void* data, size_t size) : OpenFile(data, size), config(OpenFile::config()) {
    if (config.folded || file.find_meta("pith.packed.version") != nullptr)
      throw std::runtime_error("key egmla.folded: the model is packed already");
  }
};

// LongRoPE's divisors, of the long table where the model is meant for more than the original context.
std::vector<float> rope_divisors(const ModelFile& file, const Config& c) {
  if (c.rope_scaling != RopeScaling::longrope) return {};
  const char* name =
      c.context_length > c.rope_original_context ? "rope_factors_long.weight" : "rope_factors_short.weight";
  const TensorEntry* t = file.find_tensor(name);
  if (t == nullptr) throw std::runtime_error(fmt::format("tensor {}: missing", name));
  const std::vector<float> divisors = floats(*t);
  if (divisors.size() != size_t(c.rope_width / 2))
    throw std::runtime_error(
        fmt::format("tensor {}: {} elements for {} pairs", name, divisors.size(), c.rope_width / 2));
  return divisors;
}

void copy_metadata(const ModelFile& file, GgufWriter* writer) {
  for (size_t i = 0; i < file.n_meta(); ++i) {
    const MetaEntry& entry = file.meta(i);
    if (entry.key != "general.alignment" && entry.key != "general.file_type") writer->add_entry(entry);
  }
}

// Holds the file's tensors against the list of those that the configuration has. A tensor that nothing reads would silently
// change what the model means.
void check_tensors(ModelFile* file, const Config& config) {
  TensorList list(config);
  TensorSpec spec;
  while (list.next(&spec)) {
    TensorEntry* t = file->find_tensor(std::string_view(spec.name));
    if (t == nullptr && spec.presence == Presence::required)
      throw std::runtime_error(fmt::format("tensor {}: missing", static_cast<const char*>(spec.name)));
    if (t == nullptr) continue;
    check_shape(*t, spec);
    t->is_bound = true;
  }
  for (size_t i = 0; i < file->n_tensors(); ++i) {
    const TensorEntry& t = file->tensor(i);
    const bool is_known = t.is_bound || t.name == "rope_factors_long.weight" || t.name == "rope_factors_short.weight";
    if (!is_known) throw std::runtime_error(fmt::format("tensor {}: not a tensor of this configuration", t.name));
    if (t.type != TensorType::f32 && t.type != TensorType::f16 && t.type != TensorType::bf16)
      throw std::runtime_error(fmt::format("tensor {}: is not a float tensor; is the model packed already?", t.name));
  }
}

// Packs in the order of TensorList; a layer is folded as a whole before its tensors are packed.
class Packer {
 public:
  Packer(const Config& config, const FloatSource& source, const PackOptions& options)
      : config_(config), source_(source), options_(options) {}

  void pack(const ByteSink& sink) {
    n_total_ = total_bytes();
    source_.write_metadata(&writer_);
    writer_.add_bool("egmla.folded", true);
    writer_.add_u32("pith.packed.version", 1);
    writer_.add_array_u64("pith.rope.frequencies", rope_turns(config_, source_.divisors));
    TensorList list(config_);
    TensorSpec spec;
    while (list.next(&spec)) {
      if (is_of_layer(spec)) {
        if (spec.layer != layer_) load_layer(spec.layer);
        const auto found = tensors_.find(short_name(spec));  // not source_.has: folding may add a bias
        if (found != tensors_.end()) add(spec, found->second);
      } else if (source_.has(spec)) {
        add(spec, source_.load(spec));
      }
    }
    add_directory();
    writer_.write(sink);
  }

 private:
  static bool is_of_layer(const TensorSpec& spec) { return std::string_view(spec.name).starts_with("blk."); }

  WeightType type_of(const TensorSpec& spec) const {
    const std::string_view name = spec.name;
    return name == "token_embd.weight" || name == "output.weight" ? options_.embedding_type : options_.type;
  }

  // "attn_q.weight" of "blk.3.attn_q.weight".
  static std::string short_name(const TensorSpec& spec) {
    const std::string name = spec.name;
    return name.substr(name.find('.', 4) + 1);
  }

  void load_layer(int32_t layer) {
    layer_ = layer;
    tensors_.clear();
    TensorList list(config_);
    TensorSpec spec;
    while (list.next(&spec)) {
      if (is_of_layer(spec) && spec.layer == layer && source_.has(spec))
        tensors_[short_name(spec)] = source_.load(spec);
    }
    fold_layer(config_, &tensors_);
  }

  void add(const TensorSpec& spec, const std::vector<float>& values) {
    if (spec.kind == TensorKind::vector) {
      note(spec, "vector", sha256_hex(values.data(), values.size() * sizeof(float)));
      writer_.add_tensor_f32(spec.name, {uint64_t(spec.cols)}, values);
      return;
    }
    const WeightType type = type_of(spec);
    packed_.emplace_back(packed_bytes(type, spec.rows, spec.cols));
    if (!pack_matrix(type, values.data(), spec.rows, spec.cols, packed_.back().data()))
      throw std::runtime_error(fmt::format("tensor {}: its weights are too large for fp16 scales; pack it as f32",
                                           static_cast<const char*>(spec.name)));
    const char* const names[] = {"f32", "q8", "q4", "q4m"};
    note(spec, names[size_t(type)], sha256_hex(packed_.back().data(), packed_.back().size()));
    writer_.add_tensor(spec.name, TensorType::i8, {packed_.back().size()}, packed_.back());
    n_done_ += packed_.back().size();
    if (options_.progress) options_.progress(n_done_, n_total_);
  }

  // Bytes of the model's matrices, for the progress.
  uint64_t total_bytes() const {
    uint64_t total = 0;
    TensorList list(config_);
    TensorSpec spec;
    while (list.next(&spec)) {
      if (spec.kind == TensorKind::matrix && source_.has(spec))
        total += packed_bytes(type_of(spec), spec.rows, spec.cols);
    }
    return total;
  }

  void note(const TensorSpec& spec, const char* type, const std::string& hash) {
    names_.push_back(spec.name);
    types_.push_back(type);
    rows_.push_back(uint32_t(spec.rows));
    cols_.push_back(uint32_t(spec.cols));
    hashes_.push_back(hash);
  }

  void add_directory() {
    writer_.add_array_of_strings("pith.packed.names", names_);
    writer_.add_array_of_strings("pith.packed.types", types_);
    writer_.add_array_u32("pith.packed.rows", rows_);
    writer_.add_array_u32("pith.packed.cols", cols_);
    writer_.add_array_of_strings("pith.packed.sha256", hashes_);
  }

  const Config& config_;
  const FloatSource& source_;
  const PackOptions& options_;
  GgufWriter writer_{PITH_ALIGNMENT};
  int32_t layer_ = -1;
  LayerTensors tensors_;                      // of layer_, folded
  std::vector<std::vector<uint8_t>> packed_;  // outlive the writer's spans
  std::vector<std::string> names_, types_, hashes_;
  std::vector<uint32_t> rows_, cols_;
  uint64_t n_done_ = 0, n_total_ = 0;  // bytes of packed matrices
};

}  // namespace

PackOptions pack_options(const std::string& type) {
  PackOptions options;
  if (type == "q4") return options;
  if (type == "q4m") options.type = WeightType::q4m;
  else if (type == "q8") options.type = WeightType::q8;
  else if (type == "f32") options.type = options.embedding_type = WeightType::f32;
  else throw std::runtime_error(fmt::format("option --type: \"{}\" is not q4, q4m, q8 or f32", type));
  return options;
}

void pack_tensors(const Config& config, const FloatSource& source, const PackOptions& options, const ByteSink& sink) {
  Packer(config, source, options).pack(sink);
}

void pack_model(const void* data, size_t size, const PackOptions& options, const ByteSink& sink) {
  FloatModel model(data, size);
  const ModelFile& file = model.file;
  check_tensors(&model.file, model.config);
  const auto find = [&](const TensorSpec& spec) { return file.find_tensor(std::string_view(spec.name)); };
  const FloatSource source{[&](GgufWriter* writer) { copy_metadata(file, writer); },
                           [&](const TensorSpec& spec) { return find(spec) != nullptr; },
                           [&](const TensorSpec& spec) { return floats(*find(spec)); },
                           rope_divisors(file, model.config)};
  pack_tensors(model.config, source, options, sink);
}

std::vector<uint8_t> pack_model(const void* data, size_t size, const PackOptions& options) {
  std::vector<uint8_t> out;
  pack_model(data, size, options, [&out](const void* bytes, size_t n) {
    const auto* first = static_cast<const uint8_t*>(bytes);
    out.insert(out.end(), first, first + n);
  });
  return out;
}

}  // namespace pith::quantize
