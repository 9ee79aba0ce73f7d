#include "pack.h"

#include <cmath>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

#include "config.h"
#include "fold.h"
#include "half.h"
#include "quantizer.h"
#include "sha256.h"
#include "weights.h"

namespace pith {
namespace {

void check(pith_status status, const pith_error& error) {
  if (status != PITH_OK) throw std::runtime_error(error.message);
}

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
    case TensorType::i8: break;
  }
  throw std::runtime_error(fmt::format("tensor {}: is not a float tensor; is the model packed already?", t.name));
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
struct FloatModel {
  ModelFile file;
  Config config;
  std::vector<uint64_t> directory;

  FloatModel(const void* data, size_t size) {
    pith_error error{};
    size_t bytes = 0;
    check(ModelFile::directory_bytes(data, size, &bytes, &error), error);
    directory.resize(bytes / sizeof(uint64_t) + 1);
    check(file.open(data, size, directory.data(), &error), error);
    check(read_config(file, &config, &error), error);
    if (config.folded || file.find_meta("pith.packed.version") != nullptr)
      throw std::runtime_error("key egmla.folded: the model is packed already");
  }
};

// Packs tensor by tensor, in the order of TensorList; a layer is folded as a whole before its tensors are packed.
class Packer {
 public:
  Packer(const void* data, size_t size, const PackOptions& options) : model_(data, size), options_(options) {}

  std::vector<uint8_t> pack() {
    copy_metadata();
    TensorList list(model_.config);
    TensorSpec spec;
    while (list.next(&spec)) {
      const std::string name = spec.name;
      if (name.starts_with("blk.")) add_of_layer(name, spec);
      else if (const TensorEntry* t = find(spec)) add(spec, floats(*t));
    }
    check_strangers();
    add_directory();
    return writer_.bytes();
  }

 private:
  void copy_metadata() {
    for (size_t i = 0; i < model_.file.n_meta(); ++i) {
      const MetaEntry& entry = model_.file.meta(i);
      if (entry.key != "general.alignment" && entry.key != "general.file_type") writer_.add_entry(entry);
    }
    writer_.add_u32("general.alignment", PITH_ALIGNMENT);
    writer_.add_bool("egmla.folded", true);
    writer_.add_u32("pith.packed.version", 1);
    writer_.add_array_u64("pith.rope.frequencies", rope_turns(model_.config, rope_divisors()));
  }

  // LongRoPE's divisors, of the long table where the model is meant for more than the original context.
  std::vector<float> rope_divisors() {
    const Config& c = model_.config;
    if (c.rope_scaling != RopeScaling::longrope) return {};
    const char* name = c.context_length > c.rope_original_context ? "rope_factors_long.weight" : "rope_factors_short.weight";
    const TensorEntry* t = model_.file.find_tensor(name);
    if (t == nullptr) throw std::runtime_error(fmt::format("tensor {}: missing", name));
    const std::vector<float> divisors = floats(*t);
    if (divisors.size() != size_t(c.rope_width / 2))
      throw std::runtime_error(fmt::format("tensor {}: {} elements for {} pairs", name, divisors.size(), c.rope_width / 2));
    return divisors;
  }

  TensorEntry* find(const TensorSpec& spec) {
    TensorEntry* t = model_.file.find_tensor(std::string_view(spec.name));
    if (t == nullptr && spec.presence == Presence::required)
      throw std::runtime_error(fmt::format("tensor {}: missing", static_cast<const char*>(spec.name)));
    if (t == nullptr) return nullptr;
    check_shape(*t, spec);
    t->is_bound = true;
    return t;
  }

  void add_of_layer(const std::string& name, const TensorSpec& spec) {
    if (spec.layer != layer_) load_layer(spec.layer);
    const auto found = tensors_.find(name.substr(name.find('.', 4) + 1));
    if (found != tensors_.end()) add(spec, found->second);
  }

  void load_layer(int32_t layer) {
    layer_ = layer;
    tensors_.clear();
    TensorList list(model_.config);
    TensorSpec spec;
    const std::string prefix = fmt::format("blk.{}.", layer);
    while (list.next(&spec)) {
      const std::string name = spec.name;
      if (!name.starts_with(prefix)) continue;
      if (const TensorEntry* t = find(spec)) tensors_[name.substr(prefix.size())] = floats(*t);
    }
    fold_layer(model_.config, &tensors_);
  }

  void add(const TensorSpec& spec, const std::vector<float>& values) {
    const std::string name = spec.name;
    if (spec.kind == TensorKind::vector) {
      std::vector<uint8_t> bytes(values.size() * sizeof(float));
      std::memcpy(bytes.data(), values.data(), bytes.size());
      note(spec, "vector", 1, sha256_hex(bytes.data(), bytes.size()));
      writer_.add_tensor_f32(name, {uint64_t(spec.cols)}, values);
      return;
    }
    const bool is_table = !name.starts_with("blk.");
    const WeightType type = is_table ? options_.embedding_type : options_.type;
    packed_.emplace_back(packed_bytes(type, spec.rows, spec.cols));
    pack_matrix(type, values.data(), spec.rows, spec.cols, packed_.back().data());
    note(spec, type == WeightType::q4 ? "q4" : type == WeightType::q8 ? "q8" : "f32", spec.rows, sha256_hex(packed_.back().data(), packed_.back().size()));
    writer_.add_tensor(name, TensorType::i8, {packed_.back().size()}, packed_.back());
    if (options_.progress) options_.progress(writer_.file_bytes(), total_bytes());
  }

  // An estimate of the packed file's size, for the progress: exact but for the vectors.
  uint64_t total_bytes() {
    if (total_ > 0) return total_;
    TensorList list(model_.config);
    TensorSpec spec;
    while (list.next(&spec)) {
      if (spec.kind == TensorKind::vector || model_.file.find_tensor(std::string_view(spec.name)) == nullptr) continue;
      const bool is_table = !std::string_view(spec.name).starts_with("blk.");
      total_ += packed_bytes(is_table ? options_.embedding_type : options_.type, spec.rows, spec.cols);
    }
    return total_;
  }

  void note(const TensorSpec& spec, const char* type, int32_t rows, const std::string& hash) {
    names_.push_back(spec.name);
    types_.push_back(type);
    rows_.push_back(uint32_t(rows));
    cols_.push_back(uint32_t(spec.cols));
    hashes_.push_back(hash);
  }

  void check_strangers() const {
    for (size_t i = 0; i < model_.file.n_tensors(); ++i) {
      const TensorEntry& t = model_.file.tensor(i);
      if (!t.is_bound && !t.name.starts_with("rope_factors_"))
        throw std::runtime_error(fmt::format("tensor {}: not a tensor of this configuration", t.name));
    }
  }

  void add_directory() {
    writer_.add_array_of_strings("pith.packed.names", names_);
    writer_.add_array_of_strings("pith.packed.types", types_);
    writer_.add_array_u32("pith.packed.rows", rows_);
    writer_.add_array_u32("pith.packed.cols", cols_);
    writer_.add_array_of_strings("pith.packed.sha256", hashes_);
  }

  FloatModel model_;
  PackOptions options_;
  GgufWriter writer_{PITH_ALIGNMENT};
  int32_t layer_ = -1;
  LayerTensors tensors_;                     // of layer_, folded
  std::vector<std::vector<uint8_t>> packed_;  // outlive the writer's spans
  std::vector<std::string> names_, types_, hashes_;
  std::vector<uint32_t> rows_, cols_;
  uint64_t total_ = 0;
};

}  // namespace

PackOptions pack_options(const std::string& type) {
  PackOptions options;
  if (type == "q4") return options;
  if (type == "q8") options.type = WeightType::q8;
  else if (type == "f32") options.type = options.embedding_type = WeightType::f32;
  else throw std::runtime_error(fmt::format("option --type: \"{}\" is not q4, q8 or f32", type));
  return options;
}

std::vector<uint8_t> pack_model(const void* data, size_t size, const PackOptions& options) {
  return Packer(data, size, options).pack();
}

}  // namespace pith
