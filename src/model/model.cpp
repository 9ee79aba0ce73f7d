#include "model/model.h"

#include "ground/arena.h"
#include "model/config_reader.h"
#include "model/tensor_list.h"
#include "ground/status.h"

namespace pith::internal {
namespace {

constexpr size_t kMaxRopePairs = 2048;  // rope.dimension_count is at most 4,096
constexpr size_t kTensorsPerLayer = 6;  // at least: two norms, query, output, ffn_up, ffn_down

// Lays a model out. The arrays are sized by the header's tensor count alone: a file with more layers than this lacks
// tensors.
struct Placement {
  pith_model* model;
  uint8_t* directory;
  size_t max_layers;

  Placement(Arena* arena, size_t directory_bytes, size_t n_tensors) {
    max_layers = n_tensors / kTensorsPerLayer;
    model = arena->take<pith_model>(1);
    directory = arena->take<uint8_t>(directory_bytes);
    Layer* layers = arena->take<Layer>(max_layers);
    Linear* gate_tables = arena->take<Linear>(max_layers);
    uint64_t* rope_turns = arena->take<uint64_t>(kMaxRopePairs);
    if (arena->is_measuring()) return;
    *model = pith_model{};
    for (size_t i = 0; i < max_layers; ++i) {
      layers[i] = Layer{};
      gate_tables[i] = Linear{};
    }
    model->weights.layers = layers;
    model->weights.gate_tables = gate_tables;
    model->weights.rope_turns = rope_turns;
  }
};

size_t tensor_count_in_header(const void* data) {
  return size_t(read_le<uint64_t>(static_cast<const uint8_t*>(data) + 8));
}

pith_status read_rope_turns(const ModelFile& file, const Config& config, uint64_t* turns, pith_error* error) {
  const char* key = "pith.rope.frequencies";
  const MetaEntry* array = nullptr;
  PITH_TRY(file.get_array(key, GgufType::u64, &array, error));
  if (array == nullptr) return fail(error, PITH_E_MISSING, "key ", key, ": missing");
  if (array->count != uint64_t(config.rope_width / 2))
    return fail(error, PITH_E_SHAPE, "key ", key, ": ", array->count, " frequencies for ", config.rope_width / 2,
                " pairs");
  for (uint64_t i = 0; i < array->count; ++i) turns[i] = read_le<uint64_t>(array->value + 8 * i);
  return PITH_OK;
}

// What every user of the vocabulary relies on; the tokenizer checks the rest.
pith_status check_vocabulary(const ModelFile& file, const Config& config, pith_error* error) {
  const MetaEntry* tokens = nullptr;
  PITH_TRY(file.get_array("tokenizer.ggml.tokens", GgufType::string, &tokens, error));
  if (tokens != nullptr && tokens->count != uint64_t(config.vocab_size))
    return fail(error, PITH_E_VOCABULARY, "key tokenizer.ggml.tokens: ", tokens->count, " tokens, egmla.vocab_size is ",
                config.vocab_size);
  const char* const ids[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                             "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id"};
  for (const char* key : ids) {
    uint64_t id = 0;
    PITH_TRY(file.get_uint(key, &id, nullptr, error));
    if (id >= uint64_t(config.vocab_size))
      return fail(error, PITH_E_VOCABULARY, "key ", key, ": ", id, " is not below the vocabulary's ",
                  config.vocab_size);
  }
  return PITH_OK;
}

}  // namespace

pith_status model_bytes(const void* data, size_t size, size_t* out_bytes, pith_error* error) {
  size_t directory_bytes = 0;
  PITH_TRY(ModelFile::directory_bytes(data, size, &directory_bytes, error));
  Arena measure;
  Placement(&measure, directory_bytes, tensor_count_in_header(data));
  *out_bytes = measure.used();
  return PITH_OK;
}

pith_status model_init(const void* data, size_t size, void* memory, pith_model** out_model, pith_error* error) {
  size_t directory_bytes = 0;
  PITH_TRY(ModelFile::directory_bytes(data, size, &directory_bytes, error));
  Arena arena(memory);
  const Placement placed(&arena, directory_bytes, tensor_count_in_header(data));
  pith_model* model = placed.model;
  model->bytes = static_cast<const uint8_t*>(data);
  PITH_TRY(model->file.open(data, size, placed.directory, error));
  PITH_TRY(model->file.check_not_split(error));
  PITH_TRY(read_config(model->file, &model->config, error));
  PITH_TRY(model->file.read_packed_directory(error));
  if (!model->config.folded)
    return fail(error, PITH_E_NOT_PACKED, "key egmla.folded: missing or false; run pith quantize on the float model");
  if (size_t(model->config.n_layers) > placed.max_layers)
    return fail(error, PITH_E_MISSING, "key egmla.block_count: ", model->config.n_layers, " layers, but only ",
                uint64_t(model->file.n_tensors()), " tensors");
  PITH_TRY(read_rope_turns(model->file, model->config, model->weights.rope_turns, error));
  PITH_TRY(check_vocabulary(model->file, model->config, error));
  PITH_TRY(bind_weights(&model->file, model->config, &model->weights, error));
  *out_model = model;
  return PITH_OK;
}

}  // namespace pith::internal
