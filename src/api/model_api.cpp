// The C ABI of models: checks arguments once per call, then hands over.
#include "api/struct_sizes.h"
#include "fp_environment.h"
#include "model/model.h"

using namespace pith::internal;

namespace {

pith_status check_data(const void* data, pith_error* error) {
  PITH_TRY(check_arguments({{"data", data}}, error));
  if (is_aligned(data)) return PITH_OK;
  return fail(error, PITH_E_ALIGNMENT,
              "model: data is not aligned to 64 bytes; copy it to memory that is (pith_alignment_shift)");
}

bool is_of_experts(const TensorEntry& t) { return t.name.ends_with("_exps.weight"); }

// What a token reads of them: those that are chosen for it.
uint64_t chosen_bytes(const TensorEntry& t, const Config& c) {
  return t.bytes / t.n_matrices * uint64_t(c.n_used_experts);
}

uint64_t weights_read_per_step(const pith_model& model) {
  uint64_t bytes = 0;
  const Config& c = model.config;
  for (size_t i = 0; i < model.file.n_tensors(); ++i) {
    const TensorEntry& t = model.file.tensor(i);
    const bool is_table = t.name.starts_with("gate_embd.") || t.name == "token_embd.weight";
    const bool is_tied_output = t.data == model.weights.output.w;
    if (is_of_experts(t)) bytes += chosen_bytes(t, c);
    else if (!is_table || is_tied_output) bytes += t.bytes;
    else bytes += t.bytes / uint64_t(c.vocab_size);  // one row
  }
  return bytes;
}

void count_weights(const pith_model& model, pith_model_info* info) {
  for (size_t i = 0; i < model.file.n_tensors(); ++i) {
    const TensorEntry& t = model.file.tensor(i);
    info->n_parameters += uint64_t(t.rows) * t.cols;
    info->weight_bytes += t.bytes;
    if (!is_of_experts(t)) continue;
    info->expert_bytes += t.bytes;
    info->step_expert_bytes += chosen_bytes(t, model.config);
  }
  info->step_weight_bytes = weights_read_per_step(model);
}

pith_value_type value_type(GgufType type) {
  switch (type) {
    case GgufType::boolean: return PITH_VALUE_BOOL;
    case GgufType::f32:
    case GgufType::f64: return PITH_VALUE_FLOAT;
    case GgufType::string: return PITH_VALUE_STRING;
    case GgufType::array: return PITH_VALUE_ARRAY;
    case GgufType::i8:
    case GgufType::i16:
    case GgufType::i32:
    case GgufType::i64: return PITH_VALUE_INT;
    default: return PITH_VALUE_UINT;
  }
}

// The value of that type at `bytes`, which is no array.
void fill_value(GgufType type, const uint8_t* bytes, pith_metadata* out) {
  const FpEnvironment environment;  // a signalling NaN may become a double
  out->type = value_type(type);
  switch (type) {
    case GgufType::u8:
    case GgufType::boolean: out->uint_value = *bytes; break;
    case GgufType::u16: out->uint_value = read_le<uint16_t>(bytes); break;
    case GgufType::u32: out->uint_value = read_le<uint32_t>(bytes); break;
    case GgufType::u64: out->uint_value = read_le<uint64_t>(bytes); break;
    case GgufType::i8: out->int_value = read_le<int8_t>(bytes); break;
    case GgufType::i16: out->int_value = read_le<int16_t>(bytes); break;
    case GgufType::i32: out->int_value = read_le<int32_t>(bytes); break;
    case GgufType::i64: out->int_value = read_le<int64_t>(bytes); break;
    case GgufType::f32: out->float_value = double(read_le<float>(bytes)); break;
    case GgufType::f64: out->float_value = read_le<double>(bytes); break;
    case GgufType::string:
      out->string = reinterpret_cast<const char*>(bytes) + 8;  // its length, then its bytes
      out->string_bytes = size_t(read_le<uint64_t>(bytes));
      break;
    case GgufType::array: break;
  }
}

pith_metadata metadata_of(const ModelFile& file, size_t index) {
  const MetaEntry& entry = file.meta(index);
  pith_metadata out{};
  out.index = uint32_t(index);
  out.key = entry.key.data();
  out.key_bytes = entry.key.size();
  fill_value(entry.type, entry.value, &out);
  if (entry.type != GgufType::array) return out;
  out.array_count = entry.count;
  out.element_type = value_type(entry.element_type);
  return out;
}

const uint8_t* element_of(const MetaEntry& array, uint64_t element) {
  if (array.element_type != GgufType::string) return array.value + array.value_bytes / array.count * element;
  const uint8_t* at = array.value;
  for (; element > 0; --element) at += 8 + read_le<uint64_t>(at);
  return at;
}

const char* type_name(const TensorEntry& t) { return t.is_vector ? "vector" : weight_type_name(t.packed_type); }

pith_status check_index(const char* what, uint64_t index, uint64_t n, pith_error* error) {
  if (index < n) return PITH_OK;
  return fail(error, PITH_E_ARGUMENT, "argument ", what, ": ", index, " is not below the count of ", n);
}

}  // namespace

extern "C" {

pith_status pith_model_bytes(const void* data, size_t data_bytes, size_t* out_bytes, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"out_bytes", out_bytes}}, error));
  PITH_TRY(check_data(data, error));
  return model_bytes(data, data_bytes, out_bytes, error);
}

pith_status pith_model_init(const void* data, size_t data_bytes, void* memory, size_t memory_bytes,
                            pith_model** out_model, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"out_model", out_model}}, error));
  size_t need = 0;
  PITH_TRY(pith_model_bytes(data, data_bytes, &need, error));
  PITH_TRY(check_memory("model", memory, memory_bytes, need, error));
  const FpEnvironment environment;
  return model_init(data, data_bytes, memory, out_model, error);
}

pith_status pith_model_get_info(const pith_model* model, pith_model_info* out_info, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_info", out_info}}, error));
  PITH_TRY(check_struct(out_info, error));
  const Config& c = model->config;
  pith_model_info info{
      .struct_size = sizeof info,
      .attention_kind = uint32_t(c.attention),
      .gate_kind = uint32_t(c.gate),
      .n_layers = uint32_t(c.n_layers),
      .width = uint32_t(c.width),
      .n_heads = uint32_t(c.n_heads),
      .n_kv_heads = uint32_t(c.n_kv_heads),
      .content_width = uint32_t(c.content_width),
      .rope_width = uint32_t(c.rope_width),
      .value_width = uint32_t(c.value_width),
      .latent_width = uint32_t(c.latent_width),
      .query_latent_width = uint32_t(c.query_latent_width),
      .gate_width = uint32_t(c.gate_width),
      .layer_group_size = uint32_t(c.layer_group_size),
      .feed_forward_width = uint32_t(c.feed_forward_width),
      .vocab_size = uint32_t(c.vocab_size),
      .context_length = uint32_t(c.context_length),
      .tied_output = model->weights.output.w == model->weights.embedding.w ? 1u : 0u,
      .n_parameters = 0,
      .weight_bytes = 0,
      .step_weight_bytes = 0,
      .n_experts = uint32_t(c.n_experts),
      .n_used_experts = uint32_t(c.n_used_experts),
      .expert_bytes = 0,
      .step_expert_bytes = 0,
  };
  count_weights(*model, &info);
  write_struct(info, out_info);
  return PITH_OK;
}

size_t pith_model_metadata_count(const pith_model* model) { return model == nullptr ? 0 : model->file.n_meta(); }

pith_status pith_model_get_metadata(const pith_model* model, size_t index, pith_metadata* out_metadata,
                                    pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_metadata", out_metadata}}, error));
  PITH_TRY(check_struct(out_metadata, error));
  PITH_TRY(check_index("index", index, model->file.n_meta(), error));
  write_struct(metadata_of(model->file, index), out_metadata);
  return PITH_OK;
}

pith_status pith_model_find_metadata(const pith_model* model, const char* key, pith_metadata* out_metadata,
                                     pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"key", key}, {"out_metadata", out_metadata}}, error));
  PITH_TRY(check_struct(out_metadata, error));
  const MetaEntry* entry = model->file.find_meta(key);
  if (entry == nullptr) return fail(error, PITH_E_MISSING, "key ", key, ": not in this model's file");
  write_struct(metadata_of(model->file, size_t(entry - &model->file.meta(0))), out_metadata);
  return PITH_OK;
}

pith_status pith_model_get_metadata_element(const pith_model* model, size_t index, uint64_t element,
                                            pith_metadata* out_metadata, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_metadata", out_metadata}}, error));
  PITH_TRY(check_struct(out_metadata, error));
  PITH_TRY(check_index("index", index, model->file.n_meta(), error));
  const MetaEntry& array = model->file.meta(index);
  if (array.type != GgufType::array) return fail(error, PITH_E_TYPE, "key ", array.key, ": is no array");
  PITH_TRY(check_index("element", element, array.count, error));
  pith_metadata out{};
  out.index = uint32_t(index);
  out.key = array.key.data();
  out.key_bytes = array.key.size();
  fill_value(array.element_type, element_of(array, element), &out);
  write_struct(out, out_metadata);
  return PITH_OK;
}

size_t pith_model_tensor_count(const pith_model* model) { return model == nullptr ? 0 : model->file.n_tensors(); }

pith_status pith_model_get_tensor(const pith_model* model, size_t index, pith_tensor* out_tensor, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_tensor", out_tensor}}, error));
  PITH_TRY(check_struct(out_tensor, error));
  PITH_TRY(check_index("index", index, model->file.n_tensors(), error));
  const TensorEntry& t = model->file.tensor(index);
  pith_tensor tensor{};
  tensor.name = t.name.data();
  tensor.name_bytes = t.name.size();
  tensor.type = type_name(t);
  tensor.rows = t.rows;
  tensor.cols = t.cols;
  tensor.data = t.data;
  tensor.data_bytes = t.bytes;
  tensor.sha256 = t.sha256.data();
  write_struct(tensor, out_tensor);
  return PITH_OK;
}

}  // extern "C"
