#include "session/session_state.h"

#include <cstring>

#include "fp_environment.h"

namespace pith::internal {
namespace {

constexpr uint64_t kPositions = uint64_t(1) << 63;  // no session comes as far; up to here nothing overflows

// Of the metadata and the tensors' names, shapes and SHA-256: the file up to its first weight.
uint64_t model_hash(const pith_model& model) {
  const uint8_t* end = model.file.tensor(0).data;
  for (size_t i = 1; i < model.file.n_tensors(); ++i) {
    if (model.file.tensor(i).data < end) end = model.file.tensor(i).data;
  }
  return fnv1a(model.bytes, size_t(end - model.bytes));
}

SessionStateHeader shape_of(const pith_session& s) {
  SessionStateHeader h{};
  h.attention = s.plan.form == AttentionForm::materialise ? PITH_ATTENTION_MATERIALISE : PITH_ATTENTION_DEFAULT;
  h.cache = s.plan.cache == Precision::i8 ? PITH_PRECISION_I8 : PITH_PRECISION_F32;
  h.activations = s.plan.activations == Precision::i8 ? PITH_PRECISION_I8 : PITH_PRECISION_F32;
  h.capacity = uint64_t(s.plan.capacity);
  h.n_keep = uint64_t(s.plan.n_keep);
  h.n_rows = uint64_t(pool_rows(s.model->config, s.plan));
  return h;
}

size_t logits_bytes(const pith_session& s) { return size_t(s.model->config.vocab_size) * sizeof(float); }

pith_status check_shape(const SessionStateHeader& h, const SessionStateHeader& own, pith_error* error) {
  const struct {
    const char* name;
    uint64_t have, want;
  } fields[] = {{"attention", h.attention, own.attention},
                {"cache", h.cache, own.cache},
                {"activations", h.activations, own.activations},
                {"capacity", h.capacity, own.capacity},
                {"n_keep", h.n_keep, own.n_keep},
                {"pool_bytes, in rows,", h.n_rows, own.n_rows}};
  for (const auto& field : fields) {
    if (field.have != field.want)
      return fail(error, PITH_E_SAVED_MISMATCH, "state: option ", field.name, " was ", field.have, " and is ",
                  field.want, " in this session");
  }
  if (h.position >= kPositions)
    return fail(error, PITH_E_SAVED_MISMATCH, "state: no session gets to position ", h.position);
  return PITH_OK;
}

}  // namespace

size_t max_state_bytes(const pith_session& s) {
  return sizeof(SessionStateHeader) + s.transformer.cache().max_state_bytes() + logits_bytes(s);
}

size_t save_state(const pith_session& s, uint8_t* out) {
  SessionStateHeader h = shape_of(s);
  h.position = s.position;
  h.has_logits = s.has_logits;
  h.cache_bytes = s.transformer.cache().save(s.position, out + sizeof h);
  size_t n = sizeof h + size_t(h.cache_bytes);
  if (s.has_logits) {
    std::memcpy(out + n, s.transformer.logits(), logits_bytes(s));
    n += logits_bytes(s);
  }
  std::memcpy(out, &h, sizeof h);
  seal_state(kSessionState, model_hash(*s.model), out, n);
  return n;
}

pith_status restore_state(pith_session* s, const uint8_t* state, size_t n, pith_error* error) {
  SessionStateHeader h;
  PITH_TRY(check_state(kSessionState, model_hash(*s->model), state, n, sizeof h, error));
  std::memcpy(&h, state, sizeof h);
  PITH_TRY(check_shape(h, shape_of(*s), error));
  const uint64_t rest = n - sizeof h, logits = h.has_logits == 1 ? logits_bytes(*s) : 0;
  if (h.has_logits > (h.position > 0 ? 1 : 0) || h.cache_bytes > rest || rest - h.cache_bytes != logits)
    return fail(error, PITH_E_SAVED_MISMATCH, "state: ", h.cache_bytes, " bytes of cache and ", logits,
                " of logits do not make ", rest);
  const FpEnvironment environment;
  bool is_good = false;
  const auto load = [&] { is_good = s->transformer.cache().load(h.position, state + sizeof h, size_t(h.cache_bytes)); };
  PITH_TRY(check_executor(s->team.assemble(load), error));
  if (is_good && h.has_logits == 1) {
    std::memcpy(s->transformer.logits(), state + sizeof h + h.cache_bytes, logits_bytes(*s));
    is_good = s->plan.kernels->all_finite(s->transformer.logits(), s->model->config.vocab_size) != 0;
    if (!is_good) s->transformer.cache().reset();
  }
  s->position = is_good ? h.position : 0;
  s->has_logits = is_good && h.has_logits == 1;
  s->has_hidden = false;
  s->is_poisoned = false;
  if (!is_good)
    return fail(error, PITH_E_SAVED_VALUE, "state: the cache is no cache of this session, which is empty now");
  return PITH_OK;
}

}  // namespace pith::internal
