// A few tokens that one call evaluates as steps: with the bits, the cache and the traces of one call for each.
#include <doctest/doctest.h>

#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// Options under which fewer than eight tokens are steps. A prompt of MHA and of materialised rows gives their bits too.
pith_session_options with_steps(const Scenario& s, uint64_t seed) {
  pith_session_options options = s.options;
  options.chunk = 8 + uint32_t(seed % 9);
  options.max_threads = 1 + uint32_t(seed % 3);
  return options;
}

}  // namespace

TEST_CASE("steps that are taken together have the bits of steps taken alone, before and after the ring is full") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    const pith_session_options options = with_steps(s, random());
    const size_t vocab_size = size_t(s.spec.config.vocab_size), width = size_t(s.spec.config.width);
    Session together(s.model(), options), alone(s.model(), options);
    const std::vector<int32_t> tokens = few_ids(s.n_before + 40, random());
    size_t n_done = 0, n_same = 0, n_hidden = 0, n_last = 0, n_states = 0, n_calls = 0;
    while (n_done < tokens.size()) {
      const size_t n = std::min(1 + random() % 7, tokens.size() - n_done);
      const std::span<const int32_t> steps = std::span(tokens).subspan(n_done, n);
      std::vector<float> logits(n * vocab_size), hidden(n * width);
      const bool has_every = random() % 4 != 0;
      if (!has_every) {
        together.eval(steps);
        std::copy(together.logits().begin(), together.logits().end(), logits.end() - int64_t(vocab_size));
        std::copy(together.hidden().begin(), together.hidden().end(), hidden.end() - int64_t(width));
      } else {
        together.eval_each(steps, logits, hidden);
      }
      for (size_t i = 0; i < n; ++i) {
        alone.eval(steps[i]);
        const bool is_given = has_every || i + 1 == n;
        n_same += !is_given || same_bits(std::span(logits).subspan(i * vocab_size, vocab_size), alone.logits());
        n_hidden += !is_given || same_bits(std::span(hidden).subspan(i * width, width), alone.hidden());
      }
      n_last += same_bits(together.logits(), alone.logits()) && same_bits(together.hidden(), alone.hidden());
      n_states += saved(together.get()) == saved(alone.get());
      n_done += n;
      ++n_calls;
    }
    CHECK(n_same == tokens.size());
    CHECK(n_hidden == tokens.size());
    CHECK(n_last == n_calls);
    CHECK(n_states == n_calls);
  }
}

TEST_CASE("steps that are cancelled in any layer leave no trace, or those that were whole") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    pith_session_options options = with_steps(s, random());
    Canceller canceller;
    Session undisturbed(s.model(), options);
    canceller.add_to(&options);
    Session session(s.model(), options);
    canceller.session = session.get();
    const std::vector<int32_t> before = few_ids(s.n_before, random()), steps = few_ids(6, random());
    for (const int32_t token : before) {
      session.eval(token);
      undisturbed.eval(token);
    }
    // What the session may hold: nothing of the steps, or the first ones, where they are taken one by one.
    std::vector<Bytes> states{saved(undisturbed.get())};
    for (const int32_t token : steps) {
      undisturbed.eval(token);
      states.push_back(saved(undisturbed.get()));
    }
    const bool is_together = !s.is_gated() || s.is_materialised();
    const size_t n_looks = 2 * size_t(s.spec.config.n_layers) * (is_together ? 1 : steps.size());
    size_t n_cancelled = 0, n_traces = 0;
    for (size_t at = 1; at <= n_looks; ++at) {
      Session other(s.model(), s.options);
      other.copy_from(session);
      canceller.arm(at);
      n_cancelled += pith_session_eval(session.get(), steps.data(), steps.size(), nullptr) == PITH_E_CANCELLED;
      canceller.arm(0);
      const size_t n_taken = session.position() - before.size();
      n_traces += n_taken >= steps.size() || (is_together && n_taken != 0);
      if (n_taken == 0) n_traces += saved(session.get()) != states[0];  // with its logits
      session.eval(std::span(steps).subspan(n_taken));
      n_traces += saved(session.get()) != states.back();
      session.copy_from(other);
    }
    CHECK(n_cancelled == n_looks);
    CHECK(n_traces == 0);
  }
}

TEST_CASE("steps go back to where they were, with the same bits") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : scenarios(seed)) {
    if (s.n_before + 7 > kScenarioCapacity || s.is_gated()) continue;  // of whose pool other rows may be left
    CAPTURE(s.name);
    const pith_session_options options = with_steps(s, random());
    Session session(s.model(), options), undisturbed(s.model(), options);
    const std::vector<int32_t> before = few_ids(s.n_before, random()), guessed = few_ids(7, random());
    for (const int32_t token : before) {
      session.eval(token);
      undisturbed.eval(token);
    }
    const size_t n_kept = random() % 7;
    session.eval(guessed);
    session.rewind(s.n_before + n_kept);
    for (const int32_t token : std::span(guessed).first(n_kept)) undisturbed.eval(token);
    const int32_t other = guessed[0] == 1 ? 2 : 1;
    session.eval(other);
    undisturbed.eval(other);
    CHECK(saved(session.get()) == saved(undisturbed.get()));
  }
}
