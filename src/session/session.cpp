#include "session/session.h"

#include <new>

#include "fp_environment.h"
#include "ground/status.h"

namespace pith::internal {

size_t session_bytes(const pith_model& model, const Plan& plan) {
  Arena arena;
  arena.take<pith_session>(1);
  Team team;
  Transformer().lay_out({model.config, model.weights, plan, team}, &arena);
  return arena.used();
}

pith_status check_executor(bool is_run, pith_error* error) {
  if (is_run) return PITH_OK;
  return fail(error, PITH_E_ARGUMENT,
              "option executor: came back without having run any of its tasks; it must return when they have returned");
}

pith_status session_init(const pith_model& model, const Plan& plan, void* memory, pith_session** out,
                         pith_error* error) {
  Arena arena(memory);
  pith_session* session =
      new (arena.take<pith_session>(1)) pith_session{&model, plan, {}, {}, 0, false, false, false, {false}, {false}};
  session->transformer.lay_out({model.config, model.weights, session->plan, session->team}, &arena);
  session->team.use(plan.executor, plan.executor_context);
  PITH_TRY(check_executor(session->team.warm_up(plan.max_threads), error));
  *out = session;
  return PITH_OK;
}

pith_status check_not_poisoned(const pith_session& session, pith_error* error) {
  if (!session.is_poisoned) return PITH_OK;
  return fail(error, PITH_E_STATE,
              "session: a logit was NaN or infinite; reset, rewind or restore the session, or copy another one to it");
}

pith_status session_eval(pith_session* session, const int32_t* tokens, size_t n_tokens, const EveryToken& every,
                         pith_error* error) {
  PITH_TRY(check_not_poisoned(*session, error));
  const int32_t vocab_size = session->model->config.vocab_size, width = session->model->config.width;
  for (size_t i = 0; i < n_tokens; ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size)
      return fail(error, PITH_E_ARGUMENT, "argument tokens: token ", uint64_t(i), " is ", tokens[i],
                  ", not within 0 .. ", vocab_size - 1, "; is the tokenizer that of this model?");
  }
  if (n_tokens == 0) return PITH_OK;
  const FpEnvironment environment;
  session->is_cancelled.store(false, std::memory_order_relaxed);
  const Plan& plan = session->plan;
  const uint64_t n_layers = uint64_t(session->model->config.n_layers);
  size_t n_done = 0;
  uint64_t n_steps = 0;
  const bool is_run = session->team.assemble([&] {
    Transformer& transformer = session->transformer;
    while (n_done < n_tokens) {
      const Chunk chunk = transformer.cut(tokens + n_done, n_tokens - n_done, session->position);
      const size_t n = size_t(chunk.n);
      const auto progress = [&](int32_t n_layer_steps) {
        n_steps += uint64_t(n_layer_steps);
        if (plan.progress != nullptr && chunk.is_prompt)
          plan.progress(plan.progress_context, n_steps, uint64_t(n_tokens) * n_layers);
      };
      const Outputs outputs{n_done + n == n_tokens,
                            every.logits == nullptr ? nullptr : every.logits + n_done * size_t(vocab_size),
                            every.hidden == nullptr ? nullptr : every.hidden + n_done * size_t(width)};
      if (!transformer.run(chunk, outputs, session->is_cancelled, progress)) return;
      session->position += n;
      n_done += n;
    }
  });
  PITH_TRY(check_executor(is_run, error));
  if (n_done < n_tokens) {
    session->has_logits = session->has_logits && n_done == 0;
    session->has_hidden = session->has_hidden && n_done == 0;
    return fail(error, PITH_E_CANCELLED, "session: cancelled after ", uint64_t(n_done), " of ", uint64_t(n_tokens),
                " tokens");
  }
  session->has_logits = session->has_hidden = true;
  const auto is_finite = [&](const float* logits) { return plan.kernels->all_finite(logits, vocab_size) != 0; };
  session->is_poisoned = !is_finite(session->transformer.logits());
  for (size_t i = 0; i < n_tokens && every.logits != nullptr && !session->is_poisoned; ++i)
    session->is_poisoned = !is_finite(every.logits + i * size_t(vocab_size));
  if (!session->is_poisoned) return PITH_OK;
  return fail(error, PITH_E_NUMERIC, "session: a logit after the token at position ", session->position - 1,
              " is NaN or infinite; pith verify says whether the model's file is damaged");
}

void session_reset(pith_session* session) {
  session->position = 0;
  session->transformer.cache().reset();
  session->has_logits = session->has_hidden = false;
  session->is_poisoned = false;
}

pith_status session_rewind(pith_session* session, uint64_t position, pith_error* error) {
  if (position > session->position)
    return fail(error, PITH_E_ARGUMENT, "argument position: ", position, " is after the session's position ",
                session->position);
  if (position == session->position) return PITH_OK;  // a poisoned one stays so: what spoiled it is still cached
  // Once the ring is full, every token took the place of one that an earlier position could see.
  if (session->position > uint64_t(session->plan.capacity))
    return fail(error, PITH_E_STATE, "session: tokens before position ", position, " were overwritten at position ",
                session->position, "; take a larger capacity than ", session->plan.capacity,
                ", or save or copy the session where it may go back to");
  while (session->position > position) session->transformer.cache().forget(--session->position);
  session->has_logits = session->has_hidden = session->is_poisoned = false;
  return PITH_OK;
}

pith_status session_copy(pith_session* to, const pith_session& from, pith_error* error) {
  const Plan &a = to->plan, &b = from.plan;
  const struct {
    const char* name;
    bool is_same;
  } conditions[] = {
      {"model", to->model == from.model},
      {"capacity", a.capacity == b.capacity},
      {"n_keep", a.n_keep == b.n_keep},
      {"cache", a.cache == b.cache},
      {"activations", a.activations == b.activations},
      {"attention", a.form == b.form},
      {"pool_bytes", to->model != from.model || pool_bytes(to->model->config, a) == pool_bytes(from.model->config, b)}};
  for (const auto& condition : conditions) {
    if (!condition.is_same)
      return fail(error, PITH_E_ARGUMENT, "argument from: its ", condition.name, " is not that of `to`");
  }
  to->transformer.cache().copy_from(from.transformer.cache(), from.position);
  for (int32_t i = 0; i < to->model->config.vocab_size && from.has_logits; ++i)
    to->transformer.logits()[i] = from.transformer.logits()[i];
  for (int32_t i = 0; i < to->model->config.width && from.has_hidden; ++i)
    to->transformer.hidden()[i] = from.transformer.hidden()[i];
  to->position = from.position;
  to->has_logits = from.has_logits;
  to->has_hidden = from.has_hidden;
  to->is_poisoned = from.is_poisoned;
  return PITH_OK;
}

}  // namespace pith::internal
