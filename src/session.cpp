#include "session.h"

#include <new>

#include "fp_environment.h"

namespace pith {

size_t session_bytes(const pith_model& model, const Plan& plan) {
  Arena arena;
  arena.take<pith_session>(1);
  Team team;
  Transformer().lay_out(model.config, plan, model.weights, team, &arena);
  return arena.used();
}

pith_session* session_init(const pith_model& model, const Plan& plan, void* memory) {
  Arena arena(memory);
  pith_session* session =
      new (arena.take<pith_session>(1)) pith_session{&model, plan, {}, {}, 0, false, false, {false}};
  session->transformer.lay_out(model.config, session->plan, model.weights, session->team, &arena);
  session->team.use(plan.executor, plan.executor_context);
  session->team.warm_up(plan.max_threads);
  return session;
}

pith_status session_eval(pith_session* session, const int32_t* tokens, size_t n_tokens) {
  if (session->is_poisoned) return PITH_E_STATE;
  const int32_t vocab_size = session->model->config.vocab_size;
  for (size_t i = 0; i < n_tokens; ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size) return PITH_E_ARGUMENT;
  }
  if (n_tokens == 0) return PITH_OK;
  const FpEnvironment environment;
  session->team.assemble([&] {
    for (size_t i = 0; i < n_tokens; ++i) session->transformer.step(tokens[i], session->position++, i + 1 == n_tokens);
  });
  session->has_logits = true;
  session->is_poisoned = session->plan.kernels->all_finite(session->transformer.logits(), vocab_size) == 0;
  return session->is_poisoned ? PITH_E_NUMERIC : PITH_OK;
}

}  // namespace pith
