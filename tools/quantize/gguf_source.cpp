#include "gguf_source.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>
#include <stdexcept>

#include <fmt/core.h>

#include "gguf_blocks.h"
#include "hf_vocabulary.h"
#include "model/config_keys.h"
#include "pages.h"
#include "split_files.h"

namespace pith::quantize {
namespace {

constexpr const char* kLongFactors = "rope_factors_long.weight";
constexpr const char* kShortFactors = "rope_factors_short.weight";
constexpr const char* kFrequencies = "rope_freqs.weight";
[[maybe_unused]] constexpr uint64_t kThreadedWeights = 1 << 16;  // of which no fewer are worth waking a team

uint64_t n_elements(const TensorEntry& t) { return t.dims[0] * t.dims[1] * t.dims[2] * t.dims[3]; }

// Bytes of `n` neighbouring weights, whole blocks.
size_t bytes_of(TensorType type, uint64_t n) { return size_t(n / block_elements(type) * block_bytes(type)); }

double bits_of(const TensorEntry& t) { return 8 * double(block_bytes(t.type)) / double(block_elements(t.type)); }

void check_finite(const TensorEntry& t, uint64_t first, const float* x, size_t n) {
  const float* bad = std::find_if(x, x + n, [](float v) { return !std::isfinite(v); });
  if (bad == x + n) return;
  throw std::runtime_error(fmt::format("tensor {}: element {} is not finite", t.name, first + uint64_t(bad - x)));
}

// Weights [first, first + n) of a tensor; rows of `cols` go to the threads.
void load(const TensorEntry& t, uint64_t first, uint64_t n, uint64_t cols, float* out) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static) if (n >= kThreadedWeights)
#endif
  for (uint64_t at = 0; at < n; at += cols)
    dequantize_blocks(t.type, t.data + bytes_of(t.type, first + at), int64_t(std::min(cols, n - at)), out + at);
  check_finite(t, first, out, size_t(n));
}

std::vector<float> vector_of(const TensorEntry& t) {
  std::vector<float> out(static_cast<size_t>(n_elements(t)));
  load(t, 0, out.size(), out.size(), out.data());
  return out;
}

void check_shape(const TensorEntry& t, const TensorSpec& spec) {
  const uint64_t rows = uint64_t(spec.matrix_rows()), n = uint64_t(spec.n_matrices);
  if (t.dims[0] == uint64_t(spec.cols) && t.dims[1] == rows && t.dims[2] == n && t.dims[3] == 1) return;
  if (spec.kind == TensorKind::stack)
    throw std::runtime_error(fmt::format("tensor {}: {} x {} x {}; the hyper-parameters ask for {} x {} x {}", t.name,
                                         t.dims[2], t.dims[1], t.dims[0], n, rows, spec.cols));
  throw std::runtime_error(fmt::format("tensor {}: {} x {}; the hyper-parameters ask for {} x {}", t.name, t.dims[1],
                                       t.dims[0], rows, spec.cols));
}

bool is_up_projection(const TensorSpec& spec) { return std::string_view(spec.name).ends_with(".attn_kv_b.weight"); }

std::string half_name(const TensorSpec& spec, const char* half) {
  return fmt::format("blk.{}.attn_{}_b.weight", spec.layer, half);
}

// [n_h][rows][cols] in two or three dimensions.
void check_half(const TensorEntry& t, const Config& c, int32_t rows, int32_t cols) {
  const uint64_t all = uint64_t(c.n_heads) * uint64_t(rows);
  const bool is_flat = t.dims[1] == all && t.dims[2] == 1;
  const bool is_split = t.dims[1] == uint64_t(rows) && t.dims[2] == uint64_t(c.n_heads);
  if (t.dims[0] == uint64_t(cols) && (is_flat || is_split) && t.dims[3] == 1) return;
  throw std::runtime_error(fmt::format("tensor {}: {} x {} x {}; the hyper-parameters ask for {} x {} x {}", t.name,
                                       t.dims[2], t.dims[1], t.dims[0], c.n_heads, rows, cols));
}

// Where a file does not say whether texts begin with the begin-of-text token, it follows from its vocabulary: SentencePiece's
// do, and of the byte-level ones those of Llama 3. Source: llama.cpp's defaults.
void say_whether_bos_leads(const ModelFile& file, GgufWriter* writer) {
  std::string_view model, pattern;
  pith_error error{};
  check(file.get_string("tokenizer.ggml.model", &model, nullptr, &error), error);
  check(file.get_string("tokenizer.ggml.pre", &pattern, nullptr, &error), error);
  const char* key = "tokenizer.ggml.add_bos_token";
  if (model.empty() || file.find_meta(key) != nullptr || file.find_meta("tokenizer.ggml.bos_token_id") == nullptr)
    return;
  writer->add_bool(key, model == "llama" || pattern == "llama-bpe");
}

template <typename T>
std::vector<T> array_of(const MetaEntry& entry) {
  std::vector<T> out(size_t(entry.count));
  std::memcpy(out.data(), entry.value, out.size() * sizeof(T));
  return out;
}

std::vector<std::unique_ptr<OpenFile>> open_all(const std::vector<FileBytes>& files) {
  std::vector<std::unique_ptr<OpenFile>> out;
  for (const FileBytes& f : files) out.push_back(std::make_unique<OpenFile>(f.data, f.size, SplitFiles::accepted));
  std::vector<SplitPart> parts;
  for (size_t i = 0; i < files.size(); ++i) parts.push_back({files[i].path, &out[i]->file});
  check_parts(parts);
  return out;
}

}  // namespace

GgufSource::GgufSource(std::vector<FileBytes> files) : files_(std::move(files)), parts_(open_all(files_)) {
  for (const auto& part : parts_) {
    for (size_t i = 0; i < part->file.n_tensors(); ++i) tensors_[part->file.tensor(i).name] = &part->file.tensor(i);
  }
  read_shape();
  check_vocabulary();
  check_tensors();
  read_divisors();
}

void GgufSource::read_shape() {
  std::string_view architecture;
  pith_error error{};
  check(first().get_string("general.architecture", &architecture, nullptr, &error), error);
  is_own_ = architecture == "egmla" || architecture.empty();
  if (!is_own_) {
    const TensorEntry* embedding = find("token_embd.weight");
    const auto is_correction = [](const auto& t) { return t.first.ends_with(".exp_probs_b.bias"); };
    shape_ = config_of_gguf(first(), {embedding == nullptr ? 0 : embedding->dims[1],
                                      std::any_of(tensors_.begin(), tensors_.end(), is_correction)});
    return;
  }
  Config& c = shape_.config;
  c = parts_.front()->config();
  if (c.folded || first().find_meta("pith.packed.version") != nullptr)
    throw std::runtime_error("key egmla.folded: the model is packed already");
  shape_.has_long_factors = c.context_length > c.rope_original_context;
  shape_.needs_factors = c.rope_scaling == RopeScaling::longrope;
}

// Holds the files' tensors against the list of those that the configuration has. A tensor that nothing reads would silently
// change what the model means.
void GgufSource::check_tensors() const {
  std::set<std::string_view> known = {kLongFactors, kShortFactors};
  if (!is_own_) known.insert(kFrequencies);
  const Config& c = shape_.config;
  TensorList list(c);
  TensorSpec spec;
  while (list.next(&spec)) {
    const TensorEntry* t = find(spec.name);
    const TensorEntry* k = is_up_projection(spec) ? find(half_name(spec, "k")) : nullptr;
    const TensorEntry* v = is_up_projection(spec) ? find(half_name(spec, "v")) : nullptr;
    const bool has_halves = k != nullptr && v != nullptr;
    if (has_halves) {  // some files have both: then the whole is read
      check_half(*k, c, c.latent_width, c.content_width);
      check_half(*v, c, c.value_width, c.latent_width);
      known.insert({k->name, v->name});
    }
    if (t != nullptr) {
      check_shape(*t, spec);
      known.insert(t->name);
    } else if (!has_halves && spec.presence == Presence::required) {
      throw std::runtime_error(fmt::format("tensor {}: missing", static_cast<const char*>(spec.name)));
    }
  }
  for (const auto& [name, t] : tensors_) {
    if (is_of_extra_layer(name)) continue;
    if (!known.contains(name))
      throw std::runtime_error(fmt::format("tensor {}: not a tensor of this configuration", name));
    if (!holds_weights(t->type))
      throw std::runtime_error(fmt::format("tensor {}: is not a float tensor; is the model packed already?", name));
  }
}

// Of the layers after the last, which predict further tokens.
bool GgufSource::is_of_extra_layer(std::string_view name) const {
  if (!name.starts_with("blk.")) return false;
  int32_t layer = -1;
  std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return layer >= shape_.config.n_layers && layer < shape_.config.n_layers + shape_.n_extra_layers;
}

std::vector<std::string> GgufSource::notices() const {
  std::vector<std::string> out;
  if (shape_.n_extra_layers != 0)
    out.push_back(
        fmt::format("{} layers after the last, which predict further tokens, are not read", shape_.n_extra_layers));
  const MetaEntry* tokens = first().find_meta("tokenizer.ggml.tokens");
  const uint64_t rows = uint64_t(shape_.config.vocab_size);
  if (tokens != nullptr && tokens->type == GgufType::array && tokens->count < rows)
    out.push_back(fmt::format("{} rows of token_embd.weight have no token: they are named [PAD{}] and so on",
                              rows - tokens->count, tokens->count));
  return out;
}

const TensorEntry* GgufSource::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

const TensorEntry* GgufSource::stored(const TensorSpec& spec) const {
  const TensorEntry* t = find(spec.name);
  if (t != nullptr || !is_up_projection(spec)) return t;
  const TensorEntry *k = find(half_name(spec, "k")), *v = find(half_name(spec, "v"));
  return k == nullptr || v == nullptr ? nullptr : bits_of(*k) < bits_of(*v) ? k : v;
}

// All but what describes the file itself, and what the packer writes under names of its own.
// There may be more rows in the matrices than there are tokens: published models have some for the sake of round numbers.
void GgufSource::check_vocabulary() const {
  const MetaEntry* tokens = first().find_meta("tokenizer.ggml.tokens");
  const uint64_t rows = uint64_t(shape_.config.vocab_size);
  if (tokens == nullptr || tokens->type != GgufType::array || tokens->count <= rows) return;
  throw std::runtime_error(fmt::format("key tokenizer.ggml.tokens: {} tokens, but tensor token_embd.weight has {} rows",
                                       tokens->count, rows));
}

// What a vocabulary says of each token, for rows without one as well: named [PADn], unused, never likely.
void GgufSource::write_padded(const MetaEntry& entry, GgufWriter* writer) const {
  constexpr float kUnlikely = -1000;
  const MetaEntry* tokens = first().find_meta("tokenizer.ggml.tokens");
  const uint64_t rows = uint64_t(shape_.config.vocab_size);
  if (tokens == nullptr || entry.count != tokens->count || entry.count >= rows) return;
  if (entry.key == "tokenizer.ggml.tokens" && entry.element_type == GgufType::string) {
    std::vector<std::string> names;
    for (StringArray stored(entry); stored.left() > 0;) names.emplace_back(stored.next());
    while (names.size() < rows) names.push_back(fmt::format("[PAD{}]", names.size()));
    writer->add_array_of_strings(entry.key, names);
    // Without types, all tokens would be ordinary ones.
    if (first().find_meta("tokenizer.ggml.token_type") != nullptr) return;
    std::vector<int32_t> types(size_t(entry.count), int32_t(TokenType::normal));
    types.resize(size_t(rows), int32_t(TokenType::unused));
    writer->add_array_i32("tokenizer.ggml.token_type", types);
  } else if (entry.key == "tokenizer.ggml.token_type" && entry.element_type == GgufType::i32) {
    std::vector<int32_t> types = array_of<int32_t>(entry);
    types.resize(size_t(rows), int32_t(TokenType::unused));
    writer->add_array_i32(entry.key, types);
  } else if (entry.key == "tokenizer.ggml.scores" && entry.element_type == GgufType::f32) {
    std::vector<float> scores = array_of<float>(entry);
    scores.resize(size_t(rows), kUnlikely);
    writer->add_array_f32(entry.key, scores);
  }
}

void GgufSource::write_metadata(GgufWriter* writer) const {
  std::string_view architecture;
  pith_error error{};
  check(first().get_string("general.architecture", &architecture, nullptr, &error), error);
  const std::string prefix = std::string(architecture) + ".";
  const std::set<std::string_view> of_the_file = {"general.alignment", "general.architecture", "general.file_type",
                                                  "general.quantization_version"};
  for (size_t i = 0; i < first().n_meta(); ++i) {
    const MetaEntry& entry = first().meta(i);
    const bool is_of_file =
        of_the_file.contains(entry.key) || entry.key.starts_with("split.") || entry.key.starts_with("quantize.");
    const bool is_of_shape = entry.key.starts_with(prefix) || entry.key.starts_with(kKeyPrefix) ||
                             entry.key.starts_with("pith.");  // of a foreign file, none of them is pith's
    if (!is_of_file && (is_own_ || !is_of_shape)) writer->add_entry(entry);
    if (entry.key.starts_with("tokenizer.ggml.") && entry.type == GgufType::array) write_padded(entry, writer);
  }
  if (!is_own_) say_whether_bos_leads(first(), writer);
}

// Of LongRoPE's tables that for the model's context; Llama 3's one; one number for all pairs.
void GgufSource::read_divisors() {
  const size_t n = size_t(shape_.config.rope_width / 2);
  if (shape_.rope_divisor != 1) divisors_.assign(n, shape_.rope_divisor);
  const bool has_frequencies = !is_own_ && find(kFrequencies) != nullptr;
  const char* factors = shape_.has_long_factors ? kLongFactors : kShortFactors;
  const bool reads_factors = shape_.needs_factors || (!is_own_ && find(factors) != nullptr);
  if (!has_frequencies && !reads_factors) return;
  const char* name = has_frequencies ? kFrequencies : factors;
  const TensorEntry* t = find(name);
  if (t == nullptr) throw std::runtime_error(fmt::format("tensor {}: missing", name));
  if (has_frequencies && (reads_factors || !divisors_.empty()))
    throw std::runtime_error(fmt::format("tensor {}: with another scaling of frequencies is not supported", name));
  if (n_elements(*t) != n)
    throw std::runtime_error(fmt::format("tensor {}: {} elements for {} pairs", name, n_elements(*t), n));
  divisors_ = vector_of(*t);
}

bool GgufSource::has(const TensorSpec& spec) const { return stored(spec) != nullptr; }

void GgufSource::load_rows(const TensorSpec& spec, int64_t first, int64_t n, float* out) const {
  const TensorEntry* t = find(spec.name);
  if (t == nullptr) return load_halves(spec, first, n, out);
  load(*t, uint64_t(first) * uint64_t(spec.cols), uint64_t(n) * uint64_t(spec.cols), uint64_t(spec.cols), out);
}

// Rows of W_UKV [n_h (d_n + d_v), r]; those of keys are columns of attn_k_b.
void GgufSource::load_halves(const TensorSpec& spec, int64_t first, int64_t n, float* out) const {
  const Config& c = shape_.config;
  const TensorEntry &k = *find(half_name(spec, "k")), &v = *find(half_name(spec, "v"));
  const int64_t d_n = c.content_width, d_v = c.value_width, r = c.latent_width;
  for (int64_t row = first; row < first + n; ++row, out += r) {
    const int64_t head = row / (d_n + d_v), lane = row % (d_n + d_v);
    if (lane >= d_n) {
      load(v, uint64_t((head * d_v + lane - d_n) * r), uint64_t(r), uint64_t(r), out);
      continue;
    }
    if (head_index_ != std::pair(std::string(spec.name), head)) {
      head_.resize(size_t(r * d_n));
      load(k, uint64_t(head * r * d_n), uint64_t(r * d_n), uint64_t(d_n), head_.data());
      head_index_ = {spec.name, head};
    }
    for (int64_t i = 0; i < r; ++i) out[i] = head_[size_t(i * d_n + lane)];
  }
}

// Blocks of the halves go along other rows.
std::optional<WeightType> GgufSource::exact_type(const TensorSpec& spec) const {
  const TensorEntry* t = find(spec.name);
  return t == nullptr ? std::nullopt : quantize::exact_type(t->type);
}

CodesOf GgufSource::codes(const TensorSpec& spec) const {
  const TensorEntry& t = *find(spec.name);
  const size_t row_bytes = bytes_of(t.type, uint64_t(spec.cols));
  return [type = t.type, data = t.data, row_bytes](int64_t row, int32_t block) {
    return codes_of(type, data + size_t(row) * row_bytes, block);
  };
}

std::string GgufSource::stored_type(const TensorSpec& spec) const { return tensor_type_name(stored(spec)->type); }

double GgufSource::bits_per_weight(const TensorSpec& spec) const { return bits_of(*stored(spec)); }

void GgufSource::drop_pages() const {
  for (const FileBytes& file : files_) {
    if (file.is_mapped) internal::drop_pages(file.data, file.size);
  }
}

}  // namespace pith::quantize
