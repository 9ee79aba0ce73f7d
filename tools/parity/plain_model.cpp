#include "plain_model.h"

#include <cmath>
#include <cstring>
#include <random>
#include <stdexcept>

#include <fmt/core.h>

#include "fold.h"
#include "half.h"
#include "open_file.h"
#include "model/model_file.h"
#include "packed.h"
#include "model/tensor_list.h"

namespace pith::parity {
namespace {

using quantize::check;
using quantize::OpenFile;

float stored_float(const TensorEntry& t, size_t i) {
  if (t.type == TensorType::f32) return read_le<float>(t.data + 4 * i);
  if (t.type == TensorType::f16) return half_to_float(read_le<uint16_t>(t.data + 2 * i));
  if (t.type != TensorType::bf16) throw std::runtime_error(fmt::format("tensor {}: is not a float tensor", t.name));
  return bf16_to_float(read_le<uint16_t>(t.data + 2 * i));
}

std::vector<float> stored_floats(const TensorEntry& t) {
  std::vector<float> out(size_t(t.dims[0] * t.dims[1] * t.dims[2]));
  for (size_t i = 0; i < out.size(); ++i) out[i] = stored_float(t, i);
  return out;
}

// A packed matrix, or a stack of them, as the prose of simd/packed.h has it, without the kernels.
std::vector<float> unpacked(const TensorEntry& t, std::mt19937_64* noise) {
  const int64_t rows = t.rows, cols = t.cols, matrix_rows = rows / t.n_matrices;
  const int32_t blocks = int32_t(padded_cols(cols) / kBlockCols);
  const size_t panel = panel_bytes(t.packed_type, blocks);
  std::uniform_real_distribution<float> half_step(-0.5f, 0.5f);
  std::vector<float> out(size_t(rows * cols));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t in_matrix = row % matrix_rows;
    const uint8_t* matrix = t.data + t.bytes / t.n_matrices * uint64_t(row / matrix_rows);
    const uint8_t* base = matrix + size_t(in_matrix / kPanelRows) * panel;
    const size_t in_panel = size_t(in_matrix % kPanelRows), slot = size_t(kLaneOfRow[in_panel]);
    for (int64_t col = 0; col < cols; ++col) {
      const int32_t block = int32_t(col / kBlockCols);
      const size_t lane = size_t(col % kBlockCols);
      float& w = out[size_t(row * cols + col)];
      if (t.packed_type == WeightType::f32) {
        w = read_le<float>(base + (size_t(col) * kPanelRows + in_panel) * sizeof(float));
        continue;
      }
      const bool is_q8 = t.packed_type == WeightType::q8, is_q4m = t.packed_type == WeightType::q4m;
      const BlockPlace place = place_of(t.packed_type, block, blocks);
      const float scale = half_to_float(read_le<uint16_t>(base + place.d + 2 * in_panel));
      const float minimum = is_q4m ? half_to_float(read_le<uint16_t>(base + place.m + 2 * in_panel)) : 0;
      const size_t within = is_q8 ? lane : lane % 16;
      const uint8_t code = base[place.q + within / 8 * 64 + slot * 8 + lane % 8];
      const int nibble = lane < 16 ? code & 15 : code >> 4;
      const int level = is_q8 ? int(int8_t(code)) : is_q4m ? nibble : nibble - 8;
      w = scale * (float(level) + (noise != nullptr ? half_step(*noise) : 0)) + minimum;
    }
  }
  return out;
}

// LongRoPE's divisors, of the long table where the model is meant for more than the original context.
std::vector<float> divisors(const ModelFile& file, const Config& c) {
  if (c.rope_scaling != RopeScaling::longrope) return {};
  const bool is_long = c.context_length > c.rope_original_context;
  const std::string name = fmt::format("rope_factors_{}.weight", is_long ? "long" : "short");
  const TensorEntry* t = file.find_tensor(std::string_view(name));
  if (t == nullptr) throw std::runtime_error(fmt::format("tensor {}: missing", name));
  return stored_floats(*t);
}

std::vector<uint64_t> packed_turns(const ModelFile& file, const Config& c) {
  pith_error error{};
  const MetaEntry* array = nullptr;
  check(file.get_array("pith.rope.frequencies", GgufType::u64, &array, &error), error);
  if (array == nullptr || array->count != uint64_t(c.rope_width / 2))
    throw std::runtime_error("key pith.rope.frequencies: missing, or not one for every pair");
  std::vector<uint64_t> turns;
  for (uint64_t i = 0; i < array->count; ++i) turns.push_back(read_le<uint64_t>(array->value + 8 * i));
  return turns;
}

// x / factor; a lane that a gamma of 0 has erased stays 0.
float divided(float x, double factor) { return factor == 0 ? 0.0f : float(double(x) / factor); }

// The inverse of tools/quantize/fold.h. gamma, beta [n_h (d_n + d_v)] or NULL.
void unfold_query(const Config& c, const std::vector<float>* gamma, std::vector<float>* w, std::vector<float>* bias) {
  const double s = score_scale(c), m = rope_magnitude(c);
  const size_t cols = w->size() / size_t(c.query_width());
  for (int32_t row = 0; row < c.query_width(); ++row) {
    const int32_t head = row / c.query_head_width(), lane = row % c.query_head_width();
    double factor = s * m * m / double(c.rope_query_scale);
    if (lane < c.content_width) {
      factor = s / double(c.content_query_scale);
      if (gamma != nullptr) factor *= double((*gamma)[size_t(head * c.kv_head_width() + lane)]);
    }
    for (size_t i = 0; i < cols; ++i) (*w)[size_t(row) * cols + i] = divided((*w)[size_t(row) * cols + i], factor);
    if (bias != nullptr) (*bias)[size_t(row)] = divided((*bias)[size_t(row)], factor);
  }
}

void unfold_query_norm(const Config& c, std::vector<float>* gamma) {
  const double m = rope_magnitude(c), factor = score_scale(c) * m * m / double(c.rope_query_scale);
  for (float& x : *gamma) x = divided(x, factor);
}

void unfold_output(const Config& c, const std::vector<float>* gamma, const std::vector<float>* beta,
                   std::vector<float>* w, std::vector<float>* bias) {
  const size_t cols = size_t(c.head_output_width());
  for (size_t row = 0; row < size_t(c.width); ++row) {
    double shift = 0;
    for (size_t i = 0; i < cols; ++i) {
      const size_t head = i / size_t(c.value_width), lane = i % size_t(c.value_width);
      const size_t channel = head * size_t(c.kv_head_width()) + size_t(c.content_width) + lane;
      float& weight = (*w)[row * cols + i];
      if (gamma != nullptr) weight = divided(weight, double((*gamma)[channel]));
      if (beta != nullptr) shift += double(weight) * double((*beta)[channel]);
    }
    if (bias != nullptr) (*bias)[row] = float(double((*bias)[row]) - shift);
  }
}

void unfold(PlainModel* model) {
  const Config& c = model->config;
  const auto tensor = [&](const std::string& name) -> std::vector<float>* {
    const auto found = model->tensors.find(name);
    return found == model->tensors.end() ? nullptr : &found->second;
  };
  for (int32_t n = 0; n < c.n_layers; ++n) {
    const std::string b = fmt::format("blk.{}.", n);
    const bool is_gated = c.gate == Gate::up;
    const std::vector<float>* gamma = is_gated ? tensor(b + "attn_gate_norm.weight") : nullptr;
    const std::vector<float>* beta = is_gated ? tensor(b + "attn_gate_norm.bias") : nullptr;
    const std::string query = b + (!c.is_mha() && c.query_latent_width > 0 ? "attn_q_b" : "attn_q");
    if (c.head_norm == HeadNorm::rms) unfold_query_norm(c, tensor(b + "attn_q_norm.weight"));
    else unfold_query(c, gamma, tensor(query + ".weight"), tensor(query + ".bias"));
    unfold_output(c, gamma, beta, tensor(b + "attn_output.weight"), tensor(b + "attn_output.bias"));
  }
}

}  // namespace

const std::vector<float>* PlainModel::find(const std::string& name) const {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

Config read_plain_config(const void* data, size_t size) { return OpenFile(data, size).config(); }

double score_scale(const Config& c) {
  const double mscale =
      c.rope_scaling == RopeScaling::yarn ? 1 + double(c.yarn_log_multiplier) * std::log(double(c.rope_factor)) : 1;
  return mscale * mscale / std::sqrt(double(c.query_head_width()));
}

double rope_magnitude(const Config& c) {
  if (c.rope_scaling != RopeScaling::longrope) return 1;
  return std::sqrt(1 + std::log(double(c.rope_factor)) / std::log(double(c.rope_original_context)));
}

PlainModel load_plain_model(const void* data, size_t size, uint64_t noise_seed) {
  OpenFile open(data, size);
  ModelFile& file = open.file;
  PlainModel model;
  pith_error error{};
  model.config = open.config();
  const Config& c = model.config;
  if (c.folded) check(file.read_packed_directory(&error), error);
  std::mt19937_64 noise(noise_seed);
  TensorList list(c);
  TensorSpec spec;
  while (list.next(&spec)) {
    const TensorEntry* t = file.find_tensor(std::string_view(spec.name));
    if (t == nullptr && spec.presence == Presence::required)
      throw std::runtime_error(fmt::format("tensor {}: missing", static_cast<const char*>(spec.name)));
    if (t == nullptr) continue;
    const bool is_packed = c.folded && !t->is_vector;
    std::vector<float> x = is_packed ? unpacked(*t, noise_seed == 0 ? nullptr : &noise) : stored_floats(*t);
    if (x.size() != size_t(spec.rows) * size_t(spec.cols))
      throw std::runtime_error(fmt::format("tensor {}: {} numbers; the hyper-parameters ask for {} x {}", t->name,
                                           x.size(), spec.rows, spec.cols));
    model.is_rounded = model.is_rounded || (is_packed && t->packed_type != WeightType::f32);
    model.tensors[spec.name] = std::move(x);
  }
  model.rope_turns = c.folded ? packed_turns(file, c) : quantize::rope_turns(c, divisors(file, c));
  if (c.folded) unfold(&model);
  return model;
}

}  // namespace pith::parity
