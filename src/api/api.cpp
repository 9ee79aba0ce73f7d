// The C ABI of model and session: checks arguments once per call, then hands over. Sampler, tokenizer and text stream
// have theirs in their own files.
#include "dispatch.h"
#include "session/planner.h"
#include "session/session.h"
#include "session/session_state.h"
#include "ground/status.h"

using namespace pith::internal;

namespace {

#define PITH_STRINGIFY_(x) #x
#define PITH_STRINGIFY(x) PITH_STRINGIFY_(x)

pith_status check_data(const void* data, pith_error* error) {
  if (data == nullptr) return fail(error, PITH_E_ARGUMENT, "model: data is NULL");
  if (!is_aligned(data)) return fail(error, PITH_E_ALIGNMENT, "model: data is not aligned to 64 bytes");
  return PITH_OK;
}

uint64_t weights_read_per_step(const pith_model& model) {
  uint64_t bytes = 0;
  const Config& c = model.config;
  for (size_t i = 0; i < model.file.n_tensors(); ++i) {
    const TensorEntry& t = model.file.tensor(i);
    const bool is_table = t.name.starts_with("gate_embd.") || t.name == "token_embd.weight";
    const bool is_tied_output = t.data == model.weights.output.w;
    if (!is_table || is_tied_output) bytes += t.bytes;
    else bytes += t.bytes / uint64_t(c.vocab_size);  // one row
  }
  return bytes;
}

void count_weights(const pith_model& model, pith_model_info* info) {
  for (size_t i = 0; i < model.file.n_tensors(); ++i) {
    const TensorEntry& t = model.file.tensor(i);
    info->n_parameters += uint64_t(t.rows) * t.cols;
    info->weight_bytes += t.bytes;
  }
  info->step_weight_bytes = weights_read_per_step(model);
}

// The type of a metadata entry as the C ABI names it, and its value.
void fill_value(const MetaEntry& e, const ModelFile& file, pith_metadata* out) {
  switch (e.type) {
    case GgufType::boolean:
      out->type = PITH_VALUE_BOOL;
      out->uint_value = *e.value;
      break;
    case GgufType::f32:
    case GgufType::f64:
      out->type = PITH_VALUE_FLOAT;
      file.get_float(e.key, &out->float_value, nullptr, nullptr);
      break;
    case GgufType::string: {
      const std::string_view text = StringArray(e).next();
      out->type = PITH_VALUE_STRING;
      out->string = text.data();
      out->string_bytes = text.size();
      break;
    }
    case GgufType::array:
      out->type = PITH_VALUE_ARRAY;
      out->array_count = e.count;
      break;
    case GgufType::i8:
      out->int_value = read_le<int8_t>(e.value);
      out->type = PITH_VALUE_INT;
      break;
    case GgufType::i16:
      out->int_value = read_le<int16_t>(e.value);
      out->type = PITH_VALUE_INT;
      break;
    case GgufType::i32:
      out->int_value = read_le<int32_t>(e.value);
      out->type = PITH_VALUE_INT;
      break;
    case GgufType::i64:
      out->int_value = read_le<int64_t>(e.value);
      out->type = PITH_VALUE_INT;
      break;
    default: out->type = PITH_VALUE_UINT; file.get_uint(e.key, &out->uint_value, nullptr, nullptr);
  }
}

const char* type_name(const TensorEntry& t) {
  if (t.is_vector) return "vector";
  return t.packed_type == WeightType::q4 ? "q4" : t.packed_type == WeightType::q8 ? "q8" : "f32";
}

}  // namespace

extern "C" {

const char* pith_version(void) {
  return PITH_STRINGIFY(PITH_VERSION_MAJOR) "." PITH_STRINGIFY(PITH_VERSION_MINOR) "." PITH_STRINGIFY(
      PITH_VERSION_PATCH);
}

pith_status pith_model_bytes(const void* data, size_t size, size_t* out_bytes, pith_error* error) {
  if (out_bytes == nullptr) return fail(error, PITH_E_ARGUMENT, "model: out_bytes is NULL");
  PITH_TRY(check_data(data, error));
  return model_bytes(data, size, out_bytes, error);
}

pith_status pith_model_init(const void* data, size_t size, void* memory, size_t memory_bytes, pith_model** out_model,
                            pith_error* error) {
  if (out_model == nullptr) return fail(error, PITH_E_ARGUMENT, "model: out_model is NULL");
  size_t need = 0;
  PITH_TRY(pith_model_bytes(data, size, &need, error));
  PITH_TRY(check_memory("model", memory, memory_bytes, need, error));
  return model_init(data, size, memory, out_model, error);
}

pith_status pith_model_get_info(const pith_model* model, pith_model_info* out_info) {
  if (model == nullptr || out_info == nullptr) return PITH_E_ARGUMENT;
  if (out_info->struct_size != sizeof *out_info) return PITH_E_ABI;
  const Config& c = model->config;
  *out_info = pith_model_info{
      .struct_size = sizeof *out_info,
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
  };
  count_weights(*model, out_info);
  return PITH_OK;
}

size_t pith_model_metadata_count(const pith_model* model) { return model == nullptr ? 0 : model->file.n_meta(); }

pith_status pith_model_get_metadata(const pith_model* model, size_t index, pith_metadata* out_metadata) {
  if (model == nullptr || out_metadata == nullptr || index >= model->file.n_meta()) return PITH_E_ARGUMENT;
  const MetaEntry& entry = model->file.meta(index);
  *out_metadata = pith_metadata{};
  out_metadata->key = entry.key.data();
  out_metadata->key_bytes = entry.key.size();
  fill_value(entry, model->file, out_metadata);
  return PITH_OK;
}

size_t pith_model_tensor_count(const pith_model* model) { return model == nullptr ? 0 : model->file.n_tensors(); }

pith_status pith_model_get_tensor(const pith_model* model, size_t index, pith_tensor* out_tensor) {
  if (model == nullptr || out_tensor == nullptr || index >= model->file.n_tensors()) return PITH_E_ARGUMENT;
  const TensorEntry& t = model->file.tensor(index);
  *out_tensor = {t.name.data(), t.name.size(), type_name(t), t.rows, t.cols, t.data, t.bytes, t.sha256.data()};
  return PITH_OK;
}

pith_status pith_session_get_plan(const pith_model* model, const pith_session_options* options,
                                  pith_session_plan* out_plan, pith_error* error) {
  if (model == nullptr || out_plan == nullptr) return fail(error, PITH_E_ARGUMENT, "session: an argument is NULL");
  if (out_plan->struct_size != sizeof *out_plan) return fail(error, PITH_E_ABI, "plan: struct_size is not set");
  Plan plan;
  PITH_TRY(make_plan(model->config, options, &plan, error));
  const RingBytes ring = ring_bytes(model->config, plan);
  *out_plan = {sizeof *out_plan, ring.elements_per_token, session_bytes(*model, plan),
               ring.cache,       ring.per_token,          pool_bytes(model->config, plan)};
  return PITH_OK;
}

pith_status pith_session_bytes(const pith_model* model, const pith_session_options* options, size_t* out_bytes,
                               pith_error* error) {
  if (out_bytes == nullptr) return fail(error, PITH_E_ARGUMENT, "session: out_bytes is NULL");
  pith_session_plan plan{};
  plan.struct_size = sizeof plan;
  PITH_TRY(pith_session_get_plan(model, options, &plan, error));
  *out_bytes = size_t(plan.session_bytes);
  return PITH_OK;
}

pith_status pith_session_init(const pith_model* model, const pith_session_options* options, void* memory,
                              size_t memory_bytes, pith_session** out_session, pith_error* error) {
  if (model == nullptr || out_session == nullptr) return fail(error, PITH_E_ARGUMENT, "session: an argument is NULL");
  Plan plan;
  PITH_TRY(make_plan(model->config, options, &plan, error));
  PITH_TRY(check_memory("session", memory, memory_bytes, session_bytes(*model, plan), error));
  *out_session = session_init(*model, plan, memory);
  return PITH_OK;
}

pith_status pith_session_eval(pith_session* session, const int32_t* tokens, size_t n_tokens) {
  if (session == nullptr || (tokens == nullptr && n_tokens > 0)) return PITH_E_ARGUMENT;
  const SessionGuard guard(session);
  return guard.entered() ? session_eval(session, tokens, n_tokens, {}) : PITH_E_BUSY;
}

const float* pith_session_logits(const pith_session* session) {
  return session != nullptr && session->has_logits ? session->transformer.logits() : nullptr;
}

uint64_t pith_session_position(const pith_session* session) { return session == nullptr ? 0 : session->position; }

pith_status pith_session_reset(pith_session* session) {
  if (session == nullptr) return PITH_E_ARGUMENT;
  const SessionGuard guard(session);
  if (!guard.entered()) return PITH_E_BUSY;
  session->position = 0;
  session->transformer.cache().reset();
  session->has_logits = false;
  session->is_poisoned = false;
  return PITH_OK;
}

void pith_session_cancel(pith_session* session) {
  if (session != nullptr) session->is_cancelled.store(true, std::memory_order_relaxed);
}

pith_status pith_session_rewind(pith_session* session, uint64_t position) {
  if (session == nullptr) return PITH_E_ARGUMENT;
  const SessionGuard guard(session);
  return guard.entered() ? session_rewind(session, position) : PITH_E_BUSY;
}

pith_status pith_session_copy(pith_session* to, pith_session* from) {
  if (to == nullptr || from == nullptr || to == from) return PITH_E_ARGUMENT;
  const SessionGuard guard(to), other(from);
  return guard.entered() && other.entered() ? session_copy(to, *from) : PITH_E_BUSY;
}

size_t pith_session_state_bytes(const pith_session* session) {
  return session == nullptr ? 0 : max_state_bytes(*session);
}

pith_status pith_session_save(pith_session* session, void* out, size_t out_bytes, size_t* written) {
  if (session == nullptr || out == nullptr || written == nullptr) return PITH_E_ARGUMENT;
  const SessionGuard guard(session);
  if (!guard.entered()) return PITH_E_BUSY;
  if (session->is_poisoned) return PITH_E_STATE;
  *written = max_state_bytes(*session);
  if (out_bytes < *written) return PITH_E_CAPACITY;
  *written = save_state(*session, static_cast<uint8_t*>(out));
  return PITH_OK;
}

pith_status pith_session_restore(pith_session* session, const void* state, size_t state_bytes, pith_error* error) {
  if (session == nullptr || state == nullptr) return fail(error, PITH_E_ARGUMENT, "state: an argument is NULL");
  const SessionGuard guard(session);
  if (!guard.entered()) return fail(error, PITH_E_BUSY, "state: another thread is inside this session");
  return restore_state(session, static_cast<const uint8_t*>(state), state_bytes, error);
}

pith_status pith_session_set_threads(pith_session* session, uint32_t n_threads) {
  if (session == nullptr || n_threads == 0 || n_threads > uint32_t(session->plan.max_threads)) return PITH_E_ARGUMENT;
  const SessionGuard guard(session);
  if (!guard.entered()) return PITH_E_BUSY;
  session->team.set_threads(int32_t(n_threads));
  return PITH_OK;
}

const char* pith_session_tier(const pith_session* session) {
  return session == nullptr ? "" : session->plan.kernels->name;
}

uint64_t pith_session_attention_ns(const pith_session* session) {
  return session == nullptr ? 0 : session->transformer.attention_nanoseconds();
}

const char* pith_tier_name(size_t index, int* usable) {
  if (index >= tier_count()) return nullptr;
  const Tier tier = tier_at(index);
  if (usable != nullptr) *usable = tier.usable ? 1 : 0;
  return tier.kernels->name;
}

}  // extern "C"
