#include "hf_source.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <stdexcept>

#include <fmt/core.h>

#include "hf_config.h"
#include "hf_vocabulary.h"
#include "open_file.h"
#include "pages.h"
#include "pith/pith.hpp"
#include "safetensors.h"

namespace pith::quantize {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxJson = uint64_t(1) << 28;  // bytes of a file of text
constexpr size_t kMaxShards = 1024;

// Names of the model's own tensors, and of those of a layer after "blk.N." and "model.layers.N.", without ".weight" and
// ".bias". Source: transformers' modeling files; latent attention is named alike in all of them.
struct Name {
  std::string_view ours, theirs;
};
constexpr Name kModelNames[] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};
constexpr Name kLayerNames[] = {
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
    {"attn_q_a", "self_attn.q_a_proj"},
    {"attn_q_a_norm", "self_attn.q_a_layernorm"},
    {"attn_q_b", "self_attn.q_b_proj"},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa"},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm"},
    {"attn_kv_b", "self_attn.kv_b_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate_shexp", "mlp.shared_experts.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_experts.up_proj"},
    {"ffn_down_shexp", "mlp.shared_experts.down_proj"},
};
// Of every expert, after "mlp.experts.E.".
constexpr Name kExpertNames[] = {
    {"ffn_gate_exps", "gate_proj"}, {"ffn_up_exps", "up_proj"}, {"ffn_down_exps", "down_proj"}};
// A buffer there, which has neither ending.
constexpr std::string_view kCorrection = "mlp.gate.e_score_correction_bias";

// A tensor's name in its parts: "blk.3.", "attn_q", ".bias".
struct Parts {
  bool is_of_layer;
  std::string_view matrix, ending;
};

Parts parts_of(const TensorSpec& spec) {
  std::string_view name = spec.name;
  const bool is_of_layer = name.starts_with("blk.");
  if (is_of_layer) name.remove_prefix(name.find('.', 4) + 1);
  const size_t dot = name.rfind('.');
  return {is_of_layer, name.substr(0, dot), name.substr(dot)};
}

// The layer of "model.layers.<N>.", or -1.
int32_t layer_of(std::string_view name) {
  constexpr std::string_view kPrefix = "model.layers.";
  if (!name.starts_with(kPrefix)) return -1;
  int32_t layer = -1;
  const char* end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + kPrefix.size(), end, layer);
  return error == std::errc() && after != end && *after == '.' ? layer : -1;
}

// Runs `read`; what it throws names the file as well.
template <typename Read>
auto naming(const std::string& file, const Read& read) {
  try {
    return read();
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(fmt::format("{}: {}", file, error.what()));
  }
}

// The bytes of a file of text; none where there is no such file.
std::string read_text(const fs::path& path) {
  if (!fs::exists(path)) return {};
  const MappedFile file(path.string());
  if (file.size() > kMaxJson)
    throw std::runtime_error(
        fmt::format("file {}: {} bytes; at most {} are read", path.string(), file.size(), kMaxJson));
  return std::string(static_cast<const char*>(file.data()), file.size());
}

// null where there is no such file.
json::Document read_json(const fs::path& path) {
  const std::string text = read_text(path);
  if (text.empty() && !fs::exists(path)) return {};
  return naming("file " + path.string(), [&] { return json::Document::parse(text); });
}

// The names of the files that hold the tensors.
std::set<std::string> shard_names(const json::Document& weight_map) {
  std::set<std::string> names;
  for (const auto& [tensor, shard] : weight_map.members()) {
    const std::string& name = shard.string();
    const bool is_plain = !name.empty() && name != "." && name != ".." &&
                          name.find_first_of(std::string_view("/\\:\0", 4)) == std::string::npos;
    if (!is_plain) throw std::runtime_error(fmt::format("{} is no name of a file in the folder", json::quoted(name)));
    names.insert(name);
    if (names.size() > kMaxShards) throw std::runtime_error(fmt::format("more than {} shards", kMaxShards));
  }
  return names;
}

class HuggingFaceSource final : public ModelSource {
 public:
  explicit HuggingFaceSource(const std::string& folder) : folder_(folder) {
    HfTextFiles text;
    text.config = read_json(folder_ / "config.json");
    if (text.config.is_null())
      throw std::runtime_error(fmt::format("file {}: missing", (folder_ / "config.json").string()));
    read_ = naming("file " + (folder_ / "config.json").string(), [&] { return read_hf_config(text.config); });
    naming("folder " + folder, [&] {
      open_files();
      bind_tensors();
      check_strangers();
    });
    read_vocabulary(&text);
  }

  const Config& config() const override { return read_.config; }
  std::vector<float> rope_divisors() const override { return read_.rope_divisors; }
  std::vector<std::string> notices() const override {
    std::vector<std::string> all = read_.notices;
    all.insert(all.end(), vocabulary_.notices.begin(), vocabulary_.notices.end());
    return all;
  }

  void write_metadata(GgufWriter* writer) const override {
    const fs::path full = fs::weakly_canonical(folder_);
    const std::string name = full.has_filename() ? full.filename().string() : full.parent_path().filename().string();
    if (!name.empty()) writer->add_string("general.name", name);
    vocabulary_.write(writer);
  }

  bool has(const TensorSpec& spec) const override { return bound_.contains(std::string_view(spec.name)); }

  // Rows of a stack are those of its tensors, one after the other.
  void load_rows(const TensorSpec& spec, int64_t first, int64_t n, float* out) const override {
    const int64_t rows = spec.matrix_rows();
    while (n > 0) {
      const int64_t row = first % rows, count = std::min(n, rows - row);
      load_rows(*bound_.find(std::string_view(spec.name))->second[size_t(first / rows)], spec, row, count, out);
      first += count;
      n -= count;
      out += count * spec.cols;
    }
  }

  double bits_per_weight(const TensorSpec& spec) const override {
    return bound_.find(std::string_view(spec.name))->second.front()->bits();
  }

  void drop_pages() const override {
    for (const MappedFile& file : files_) internal::drop_pages(file.data(), file.size());
  }

 private:
  static void load_rows(const StoredTensor& tensor, const TensorSpec& spec, int64_t first, int64_t n, float* out) {
    const uint64_t begin = uint64_t(first) * uint64_t(spec.cols), count = uint64_t(n) * uint64_t(spec.cols);
    tensor.read(begin, count, out);
    bool is_finite = true;
    for (uint64_t i = 0; i < count; ++i) is_finite &= std::isfinite(out[i]);
    if (is_finite) return;
    const auto worst = std::find_if(out, out + count, [](float x) { return !std::isfinite(x); });
    throw std::runtime_error(
        fmt::format("tensor {}: element {} is not finite", json::quoted(tensor.name), begin + uint64_t(worst - out)));
  }

  // One file, or those of the index. The one file goes first, as where the folder comes from.
  void open_files() {
    const std::string whole = "model.safetensors", index = "model.safetensors.index.json";
    if (fs::exists(folder_ / whole)) return open_file(whole);
    const json::Document map = read_json(folder_ / index);
    if (map.is_null())
      throw std::runtime_error(
          fmt::format("neither {} nor {} is there{}", whole, index,
                      fs::exists(folder_ / "pytorch_model.bin") ? "; .bin files are not read" : ""));
    naming(index, [&] {
      for (const std::string& shard : shard_names(map["weight_map"])) open_file(shard);
      for (const auto& [tensor, shard] : map["weight_map"].members()) {
        const auto found = tensors_.find(tensor);
        if (found == tensors_.end() || found->second.file != shard.string())
          throw std::runtime_error(
              fmt::format("tensor {} is not in {}", json::quoted(tensor), json::quoted(shard.string())));
      }
    });
  }

  void open_file(const std::string& name) {
    files_.emplace_back((folder_ / name).string());
    naming(name, [&] {
      for (StoredTensor& tensor : read_safetensors(files_.back().data(), files_.back().size())) {
        const std::string key = tensor.name;
        if (!tensors_.emplace(key, Entry{std::move(tensor), name}).second)
          throw std::runtime_error(fmt::format("tensor {} is in another file as well", json::quoted(key)));
      }
    });
  }

  bool is_biased(std::string_view matrix) const {
    return std::find(read_.biased.begin(), read_.biased.end(), matrix) != read_.biased.end();
  }

  // Whether this model has a tensor that others may lack: the matrix of the output, and the biases that config.json says.
  bool is_wanted(const TensorSpec& spec) const {
    if (spec.presence == Presence::required) return true;
    const Parts parts = parts_of(spec);
    if (parts.matrix == "exp_probs_b") return tensors_.contains(hugging_face_name(spec));
    if (parts.ending == ".bias") return parts.is_of_layer && is_biased(parts.matrix);
    return parts.matrix == "output" && !is_tied();
  }

  // Without an output matrix in the folder the embedding is that, unless config.json says that it is not.
  bool is_tied() const {
    const bool has_output = tensors_.contains("lm_head.weight");
    return has_output ? read_.is_tied.value_or(false) : read_.is_tied.value_or(true);
  }

  void bind_tensors() {
    TensorList list(read_.config);
    TensorSpec spec;
    while (list.next(&spec)) {
      if (!is_wanted(spec)) continue;
      std::vector<const StoredTensor*>& bound = bound_[spec.name];
      for (int32_t i = 0; i < spec.n_matrices; ++i) {
        const std::string name = hugging_face_name(spec, i);
        const auto found = tensors_.find(name);
        if (found == tensors_.end()) throw std::runtime_error(fmt::format("tensor {}: missing", name));
        check_tensor(found->second.tensor, spec);
        found->second.is_bound = true;
        bound.push_back(&found->second.tensor);
      }
    }
  }

  static void check_tensor(const StoredTensor& t, const TensorSpec& spec) {
    if (t.type == StoredType::other)
      throw std::runtime_error(fmt::format("tensor {}: dtype {} is none of F32, F16, BF16", t.name, t.dtype));
    const bool is_vector = spec.kind == TensorKind::vector;
    const std::vector<uint64_t> wanted = is_vector
                                             ? std::vector<uint64_t>{uint64_t(spec.cols)}
                                             : std::vector<uint64_t>{uint64_t(spec.matrix_rows()), uint64_t(spec.cols)};
    if (t.shape == wanted) return;
    std::string shape;
    for (const uint64_t dim : t.shape) shape += (shape.empty() ? "" : " x ") + std::to_string(dim);
    const std::string asked =
        is_vector ? std::to_string(spec.cols) : fmt::format("{} x {}", spec.matrix_rows(), spec.cols);
    throw std::runtime_error(fmt::format("tensor {}: {}; config.json asks for {}", t.name, shape, asked));
  }

  // A tensor that nothing reads would silently change what the model means, but for these: frequencies that are computed
  // here, an output matrix that is the embedding again, and layers after the last that predict further tokens.
  void check_strangers() {
    for (auto& [name, entry] : tensors_) {
      if (entry.is_bound || name.ends_with("rotary_emb.inv_freq")) continue;
      const int32_t layer = layer_of(name) - read_.config.n_layers;
      if (layer >= 0 && layer < read_.n_extra_layers) continue;
      if (name == "lm_head.weight") check_tied(entry.tensor);
      else throw std::runtime_error(fmt::format("tensor {}: nothing reads it here", json::quoted(name)));
    }
    if (read_.n_extra_layers > 0)
      read_.notices.push_back(
          fmt::format("{} layers after the last, which predict further tokens, are not read", read_.n_extra_layers));
  }

  void check_tied(const StoredTensor& output) const {
    const StoredTensor& embedding = tensors_.at("model.embed_tokens.weight").tensor;
    const bool is_same = output.dtype == embedding.dtype && output.shape == embedding.shape &&
                         std::equal(output.bytes.begin(), output.bytes.end(), embedding.bytes.begin());
    if (!is_same)
      throw std::runtime_error(
          "tensor lm_head.weight: differs from model.embed_tokens.weight, though "
          "tie_word_embeddings is true");
  }

  // A file of text that is malformed costs the vocabulary and not the model.
  void read_vocabulary(HfTextFiles* text) {
    std::vector<std::string> notices;
    const auto read = [&](const char* name, auto* into, const auto& reader) {
      try {
        *into = reader(folder_ / name);
      } catch (const std::runtime_error& error) {
        notices.push_back(error.what());
      }
    };
    read("tokenizer.json", &text->tokenizer, read_json);
    read("tokenizer_config.json", &text->tokenizer_config, read_json);
    read("generation_config.json", &text->generation_config, read_json);
    read("tokenizer.model", &text->sentence_piece, read_text);
    read("chat_template.jinja", &text->chat_template, read_text);
    vocabulary_ = read_hf_vocabulary(*text, uint32_t(read_.config.vocab_size));
    vocabulary_.notices.insert(vocabulary_.notices.begin(), notices.begin(), notices.end());
  }

  struct Entry {
    StoredTensor tensor;
    std::string file;
    bool is_bound = false;
  };

  fs::path folder_;
  HfConfig read_;
  std::vector<MappedFile> files_;
  std::map<std::string, Entry, std::less<>> tensors_;
  // By the names of TensorList; of a stack, the tensors of all its matrices.
  std::map<std::string, std::vector<const StoredTensor*>, std::less<>> bound_;
  HfVocabulary vocabulary_;
};

}  // namespace

std::string hugging_face_name(const TensorSpec& spec, int32_t matrix) {
  const Parts parts = parts_of(spec);
  if (parts.matrix == "exp_probs_b") return fmt::format("model.layers.{}.{}", spec.layer, kCorrection);
  for (const Name& name : kExpertNames) {
    if (name.ours == parts.matrix)
      return fmt::format("model.layers.{}.mlp.experts.{}.{}{}", spec.layer, matrix, name.theirs, parts.ending);
  }
  const std::span<const Name> names =
      parts.is_of_layer ? std::span<const Name>(kLayerNames) : std::span<const Name>(kModelNames);
  for (const Name& name : names) {
    if (name.ours != parts.matrix) continue;
    const std::string prefix = parts.is_of_layer ? fmt::format("model.layers.{}.", spec.layer) : "";
    return fmt::format("{}{}{}", prefix, name.theirs, parts.ending);
  }
  return {};
}

std::unique_ptr<ModelSource> open_hugging_face(const std::string& folder) {
  return std::make_unique<HuggingFaceSource>(folder);
}

}  // namespace pith::quantize
