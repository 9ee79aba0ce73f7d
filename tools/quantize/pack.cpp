#include "pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>

#include <fmt/core.h>

#include "dispatch.h"
#include "file_hash.h"
#include "fold.h"
#include "gguf_source.h"
#include "layers/linear.h"
#include "metadata_writer.h"
#include "model/tensor_list.h"
#include "sha256.h"

namespace pith::quantize {
namespace {

constexpr int64_t kChunkWeights = 8 << 20;                     // that are floats at a time
constexpr double kFloatBits = 16;                              // stored weights of fewer are quantised
[[maybe_unused]] constexpr size_t kThreadedWeights = 1 << 16;  // of which no fewer are worth waking a team

bool is_of_layer(const TensorSpec& spec) { return std::string_view(spec.name).starts_with("blk."); }

// "attn_q.weight" of "blk.3.attn_q.weight".
std::string_view short_name(const TensorSpec& spec) {
  const std::string_view name = spec.name;
  return is_of_layer(spec) ? name.substr(name.find('.', 4) + 1) : name;
}

bool is_query(const TensorSpec& spec) {
  return short_name(spec) == "attn_q.weight" || short_name(spec) == "attn_q_b.weight";
}

// How one matrix is packed.
struct Choice {
  WeightType type;
  bool is_exact;  // its codes are those of the source
};

class Packer {
 public:
  Packer(const ModelSource& source, const PackOptions& options, const PackSink& sink)
      : source_(source), options_(options), sink_(sink), config_(source.config()) {
    if (config_.n_experts > 0) writer_ = GgufWriter(uint32_t(kStackAlignment));
  }

  PackOutline outline() {
    plan();
    return {writer_.header(), writer_.file_bytes()};
  }

  PackReport pack() {
    plan();
    write_header(sink_.append);
    size_t index = 0;
    for (const TensorSpec& spec : specs_) {
      if (spec.kind == TensorKind::vector) append_vector(spec, index);
      else pack_matrices_of(spec, index);
      append_padding(++index);
    }
    writer_.add_array_of_strings("pith.packed.sha256", hashes_);
    write_header(sink_.rewrite);
    return report_;
  }

 private:
  // ---- What is packed, and how ----

  Choice choice_of(const TensorSpec& spec) const {
    const std::string_view name = spec.name;
    // Which experts a token goes to hangs on small differences, and the matrix is small.
    if (is_of_layer(spec) && short_name(spec) == "ffn_gate_inp.weight") return {WeightType::f32, false};
    const bool is_embedding = name == "token_embd.weight" || name == "output.weight";
    // What folding multiplies loses its codes.
    const bool is_folded = config_.gate == Gate::up && (is_query(spec) || short_name(spec) == "attn_output.weight");
    WeightType kept = WeightType::q8;
    bool is_exact = false;
    if (const std::optional<WeightType> exact = source_.exact_type(spec); exact && !is_folded) {
      kept = *exact;
      is_exact = true;
    }
    if (options_.keeps_quantised && source_.bits_per_weight(spec) < kFloatBits) return {kept, is_exact};
    const WeightType type = is_embedding ? options_.embedding_type : options_.type;
    return {type, is_exact && kept == type};
  }

  // Codes that stay as they are cannot take the score scale: the session then multiplies the query by it.
  void leave_query_scale() {
    bool is_left = false;
    for_specs(-1, [&](const TensorSpec& spec) {
      is_left = is_left || (is_query(spec) && source_.has(spec) && choice_of(spec).is_exact);
    });
    if (!is_left || config_.head_norm == HeadNorm::rms) return;
    config_.content_query_scale = config_.is_mha() ? 1 : float(score_scale(config_));
    config_.rope_query_scale = float(score_scale(config_) * rope_magnitude_squared(config_));
  }

  // f(spec) for the tensors of a layer; -1: of the whole model.
  template <typename F>
  void for_specs(int32_t layer, const F& f) const {
    TensorList list(config_);
    TensorSpec spec;
    while (list.next(&spec)) {
      if (layer < 0 || (is_of_layer(spec) && spec.layer == layer)) f(spec);
    }
  }

  void plan() {
    leave_query_scale();
    write_config(config_, &writer_);
    source_.write_metadata(&writer_);
    writer_.add_bool("egmla.folded", true);
    if (config_.content_query_scale != 1)
      writer_.add_f32("egmla.attention.content_query_scale", config_.content_query_scale);
    if (config_.rope_query_scale != 1) writer_.add_f32("egmla.attention.rope_query_scale", config_.rope_query_scale);
    writer_.add_u32("pith.packed.version", 1);
    writer_.add_array_u64("pith.rope.frequencies", rope_turns(config_, source_.rope_divisors()));
    for_specs(-1, [&](const TensorSpec& spec) {
      if (is_of_layer(spec) && spec.layer != layer_) load_vectors(spec.layer);
      if (!is_of_layer(spec)) plan_tensor(spec, source_.has(spec));
      else plan_tensor(spec, spec.kind == TensorKind::vector ? vectors_.contains(spec.name) : source_.has(spec));
    });
    add_directory();
  }

  void plan_tensor(const TensorSpec& spec, bool is_present) {
    if (!is_present) return;
    specs_.push_back(spec);
    names_.push_back(spec.name);
    matrices_.push_back(uint32_t(spec.n_matrices));
    rows_.push_back(uint32_t(spec.rows));
    cols_.push_back(uint32_t(spec.cols));
    if (spec.kind == TensorKind::vector) {
      if (!vectors_.contains(spec.name)) vectors_[spec.name] = loaded(spec);
      types_.push_back("vector");
      writer_.add_tensor(spec.name, TensorType::f32, {uint64_t(spec.cols)}, GgufWriter::Fill());
      return;
    }
    const WeightType type = choice_of(spec).type;
    const uint64_t bytes = stored_bytes(type, spec.n_matrices, spec.rows, spec.cols);
    types_.push_back(weight_type_name(type));
    writer_.add_tensor(spec.name, TensorType::i8, {bytes}, GgufWriter::Fill());
    n_total_ += bytes;
  }

  void add_directory() {
    hashes_.assign(names_.size(), std::string(kHashDigits, '0'));
    writer_.add_array_of_strings("pith.packed.names", names_);
    writer_.add_array_of_strings("pith.packed.types", types_);
    writer_.add_array_u32("pith.packed.rows", rows_);
    writer_.add_array_u32("pith.packed.cols", cols_);
    writer_.add_array_of_strings("pith.packed.sha256", hashes_);
    writer_.add_string(kHeaderHashKey, std::string(kHashDigits, '0'));
    if (config_.n_experts > 0) writer_.add_array_u32("pith.packed.matrices", matrices_);
  }

  // ---- Folding ----

  std::vector<float> loaded(const TensorSpec& spec) const {
    std::vector<float> values(size_t(spec.rows) * size_t(spec.cols));
    source_.load_rows(spec, 0, spec.rows, values.data());
    return values;
  }

  // Loads and folds the vectors of a layer; what they tell of folding its matrices stays in folds_.
  void load_vectors(int32_t layer) {
    layer_ = layer;
    TensorSpec output{}, bias{};
    std::vector<float> gamma, beta;
    for_specs(layer, [&](const TensorSpec& spec) {
      const std::string_view name = short_name(spec);
      if (name == "attn_output.weight") output = spec;
      if (name == "attn_output.bias") bias = spec;
      if (spec.kind != TensorKind::vector || !source_.has(spec)) return;
      vectors_[spec.name] = loaded(spec);
      if (config_.gate == Gate::up && name == "attn_gate_norm.weight") gamma = vectors_[spec.name];
      if (config_.gate == Gate::up && name == "attn_gate_norm.bias") beta = vectors_[spec.name];
    });
    const LayerFold& fold = folds_.emplace_back(config_, std::move(gamma), std::move(beta));
    for_specs(layer, [&](const TensorSpec& spec) {
      if (spec.kind == TensorKind::vector && vectors_.contains(spec.name))
        fold.apply(short_name(spec), 0, vectors_[spec.name]);
    });
    if (fold.shifts()) add_shift(fold, output, bias);
    for_specs(layer, [&](const TensorSpec& spec) {
      if (const auto found = vectors_.find(spec.name); found != vectors_.end()) check_finite(spec, found->second);
    });
  }

  // The source's numbers are: what norms and scales make of them may not be.
  static void check_finite(const TensorSpec& spec, std::span<const float> folded) {
    if (std::all_of(folded.begin(), folded.end(), [](float x) { return std::isfinite(x); })) return;
    throw std::runtime_error(
        fmt::format("tensor {}: with the norms and scales that are folded into it, it is beyond float32",
                    static_cast<const char*>(spec.name)));
  }

  void add_shift(const LayerFold& fold, const TensorSpec& output, const TensorSpec& bias) {
    std::vector<float>& total = vectors_[bias.name];
    total.resize(size_t(bias.cols));
    const std::vector<float> w = loaded(output);
    for (size_t row = 0; row < total.size(); ++row) {
      const std::span<const float> weights(w.data() + row * size_t(output.cols), size_t(output.cols));
      total[row] = float(double(total[row]) + fold.shift(weights));
    }
  }

  // ---- The bytes ----

  void write_header(const ByteSink& sink) {
    std::vector<uint8_t> header = writer_.header();
    seal_header(header);
    sink(header.data(), header.size());
  }

  void append_padding(size_t next) {
    const uint64_t end = next == specs_.size() ? writer_.file_bytes() : writer_.tensor_position(next);
    const uint64_t last = writer_.tensor_position(next - 1) + writer_.tensor_bytes(next - 1);
    const std::vector<uint8_t> zeros(size_t(end - last), 0);
    if (!zeros.empty()) sink_.append(zeros.data(), zeros.size());
  }

  void append_vector(const TensorSpec& spec, size_t index) {
    const std::vector<float>& values = vectors_.at(spec.name);
    const size_t bytes = values.size() * sizeof(float);
    hashes_[index] = sha256_hex(values.data(), bytes);
    sink_.append(values.data(), bytes);
  }

  // A matrix, or those of a stack with the padding after each.
  void pack_matrices_of(const TensorSpec& spec, size_t index) {
    const Choice choice = choice_of(spec);
    PackedMatrices& line = line_of(spec, choice);
    const int64_t rows = spec.matrix_rows();
    const size_t stride = size_t(writer_.tensor_bytes(index) / uint64_t(spec.n_matrices));
    Sha256 hash;
    tensor_ = {};
    for (int32_t i = 0; i < spec.n_matrices; ++i) {
      pack_rows(spec, choice, i * rows, (i + 1) * rows, &hash);
      packed_.assign(stride - packed_bytes(choice.type, rows, spec.cols), 0);
      append_packed(&hash);
    }
    check_rounding(spec);
    line.squared_error += tensor_.squared_error;
    line.squares += tensor_.squares;
    hashes_[index] = hash.hex();
  }

  // Rows [first, last): whole panels, or the last of a matrix.
  void pack_rows(const TensorSpec& spec, const Choice& choice, int64_t first, int64_t last, Sha256* hash) {
    const int64_t step = std::max<int64_t>(kChunkWeights / spec.cols / kPanelRows, 1) * kPanelRows;
    for (; first < last; first += step) {
      const int64_t n = std::min<int64_t>(step, last - first);
      packed_.resize(packed_bytes(choice.type, n, spec.cols));
      if (choice.is_exact) copy_codes(spec, choice.type, first, n);
      else round_rows(spec, choice.type, first, n);
      append_packed(hash);
      source_.drop_pages();
    }
  }

  void append_packed(Sha256* hash) {
    if (packed_.empty()) return;
    hash->add(packed_.data(), packed_.size());
    sink_.append(packed_.data(), packed_.size());
    n_done_ += packed_.size();
    if (options_.progress) options_.progress(n_done_, n_total_);
  }

  void copy_codes(const TensorSpec& spec, WeightType type, int64_t first, int64_t n) {
    if (!pack_codes(type, first, first + n, spec.cols, source_.codes(spec), packed_.data()))
      throw std::runtime_error(fmt::format("tensor {}: a scale of a block is not finite in fp16; ask for a --type",
                                           static_cast<const char*>(spec.name)));
  }

  void round_rows(const TensorSpec& spec, WeightType type, int64_t first, int64_t n) {
    floats_.resize(size_t(n) * size_t(spec.cols));
    source_.load_rows(spec, first, n, floats_.data());
    if (is_of_layer(spec)) folds_[size_t(spec.layer)].apply(short_name(spec), first, floats_);
    check_finite(spec, floats_);
    if (!pack_matrix(type, floats_.data(), n, spec.cols, packed_.data()))
      throw std::runtime_error(fmt::format("tensor {}: its weights are too large for fp16 scales; pack it as f32",
                                           static_cast<const char*>(spec.name)));
    measure(spec, type, n);
  }

  // ---- The report ----

  PackedMatrices& line_of(const TensorSpec& spec, const Choice& choice) {
    const std::string stored = source_.stored_type(spec);
    const auto found = std::find_if(report_.begin(), report_.end(), [&](const PackedMatrices& line) {
      return line.stored_type == stored && line.type == choice.type && line.is_exact == choice.is_exact;
    });
    PackedMatrices& line =
        found != report_.end() ? *found : report_.emplace_back(PackedMatrices{stored, choice.type, choice.is_exact});
    const uint64_t weights = uint64_t(spec.rows) * uint64_t(spec.cols);
    line.n_matrices += spec.n_matrices;
    line.n_weights += weights;
    line.stored_bits += uint64_t(source_.bits_per_weight(spec) * double(weights));
    line.packed_bits += 8 * stored_bytes(choice.type, spec.n_matrices, spec.rows, spec.cols);
    return line;
  }

  // What rounding did to floats_.
  void measure(const TensorSpec& spec, WeightType type, int64_t n) {
    if (type == WeightType::f32) return;
    const size_t cols = size_t(spec.cols);
    Linear w;
    w.w = packed_.data();
    w.rows = int32_t(n);
    w.cols = spec.cols;
    w.blocks = int32_t(padded_cols(spec.cols) / kBlockCols);
    w.type = type;
    std::vector<double> errors(static_cast<size_t>(n)), squares(errors);
    rounded_.resize(floats_.size());
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (floats_.size() >= kThreadedWeights)
#endif
    for (int64_t row = 0; row < n; ++row) {
      float* rounded = rounded_.data() + size_t(row) * cols;
      load_row(kernels_, w, int32_t(row), rounded);
      const float* exact = floats_.data() + size_t(row) * cols;
      for (size_t i = 0; i < cols; ++i) {
        const double x = double(exact[i]), e = x - double(rounded[i]);
        errors[size_t(row)] += e * e;
        squares[size_t(row)] += x * x;
      }
    }
    for (size_t row = 0; row < size_t(n); ++row) {
      tensor_.squared_error += errors[row];
      tensor_.squares += squares[row];
    }
  }

  // Four bits change ordinary weights by some 8 %, and no weights by more than 37 %: a large one beside 31 of half a step, 1 / 14 of
  // it. But below 6e-8 there is no scale in fp16, and what is left of weights that small is coarse, or zeros.
  void check_rounding(const TensorSpec& spec) const {
    constexpr double kTooMuch = 0.4;
    const double error = std::sqrt(tensor_.squared_error / tensor_.squares);  // NaN where all weights are 0
    if (!(error > kTooMuch)) return;
    throw std::runtime_error(fmt::format(
        "tensor {}: its weights are too small for fp16 scales, which would change it by {:.0f} %; pack it as f32",
        static_cast<const char*>(spec.name), 100 * error));
  }

  const ModelSource& source_;
  const PackOptions& options_;
  const PackSink sink_;
  const Kernels& kernels_ = *choose_tier(nullptr);
  Config config_;  // the source's, and what of the score scale is left
  GgufWriter writer_{PITH_ALIGNMENT};
  int32_t layer_ = -1;            // whose vectors were loaded last
  std::vector<LayerFold> folds_;  // [n_layers]
  std::map<std::string, std::vector<float>> vectors_;
  std::vector<TensorSpec> specs_;  // of the file, in its order
  std::vector<std::string> names_, types_, hashes_;
  std::vector<uint32_t> rows_, cols_, matrices_;
  struct {
    double squared_error = 0, squares = 0;
  } tensor_;                             // that is being packed
  std::vector<float> floats_, rounded_;  // [rows of a chunk, cols]
  std::vector<uint8_t> packed_;          // of a chunk
  uint64_t n_done_ = 0, n_total_ = 0;    // bytes of packed matrices
  PackReport report_;
};

}  // namespace

double PackedMatrices::relative_error() const { return squares == 0 ? 0 : std::sqrt(squared_error / squares); }

PackOptions pack_options(const std::string& type) {
  PackOptions options;
  if (type.empty()) options.keeps_quantised = true;
  else if (type == "q4m") options.type = WeightType::q4m;
  else if (type == "q8") options.type = WeightType::q8;
  else if (type == "f32") options.type = options.embedding_type = WeightType::f32;
  else if (type != "q4") throw std::runtime_error(fmt::format("option --type: \"{}\" is not q4, q4m, q8 or f32", type));
  return options;
}

PackSink into(std::vector<uint8_t>* bytes) {
  return {[bytes](const void* data, size_t n) {
            const auto* first = static_cast<const uint8_t*>(data);
            bytes->insert(bytes->end(), first, first + n);
          },
          [bytes](const void* data, size_t n) { std::memcpy(bytes->data(), data, n); }};
}

PackReport pack_model(const ModelSource& source, const PackOptions& options, const PackSink& sink) {
  return Packer(source, options, sink).pack();
}

PackOutline pack_outline(const ModelSource& source, const PackOptions& options) {
  return Packer(source, options, {}).outline();
}

std::vector<uint8_t> pack_model(const void* data, size_t size, const PackOptions& options) {
  std::vector<uint8_t> out;
  pack_model(GgufSource({{data, size}}), options, into(&out));
  return out;
}

}  // namespace pith::quantize
