// Logits and hidden states of every token of an evaluation: the bits of those that decoding gives after each of them.
#include <doctest/doctest.h>

#include <algorithm>

#include "runtime.h"
#include "session_testing.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// One after another: [n, V] and [n, d].
struct EachToken {
  std::vector<float> logits, hidden;
};

EachToken decode(const Model& model, const std::vector<int32_t>& tokens, pith_session_options options) {
  options.chunk = 1;
  EachToken out;
  Session session(model, options);
  for (const int32_t token : tokens) {
    session.eval(token);
    out.logits.insert(out.logits.end(), session.logits().begin(), session.logits().end());
    out.hidden.insert(out.hidden.end(), session.hidden().begin(), session.hidden().end());
  }
  return out;
}

}  // namespace

TEST_CASE("every token of an evaluation has the logits and hidden state that decoding gives: every variant") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const SynthSpec& spec : all_variants()) {
    CAPTURE(spec.name);
    for (const char* type : {"q4", "f32"}) {
      CAPTURE(type);
      const Runtime runtime = runtime_of(spec, type);
      pith_session_options options = session_options();
      options.attention = PITH_ATTENTION_MATERIALISE;
      options.capacity = 200;
      options.chunk = 2 + uint32_t(random() % 100);
      options.max_threads = 1 + uint32_t(random() % 3);
      CAPTURE(options.chunk);
      CAPTURE(options.max_threads);
      const std::vector<int32_t> tokens = random_tokens(1 + random() % 150, spec.config.vocab_size, random());
      const EachToken expected = decode(runtime.model, tokens, options);
      // Nothing is written after the end of either.
      std::vector<float> logits(expected.logits.size() + 1, 7), hidden(expected.hidden.size() + 1, 7);
      Session session(runtime.model, options);
      session.eval_each(tokens, std::span(logits).first(logits.size() - 1), std::span(hidden).first(hidden.size() - 1));
      CHECK(same_bits(std::span(logits).first(logits.size() - 1), expected.logits));
      CHECK(same_bits(std::span(hidden).first(hidden.size() - 1), expected.hidden));
      CHECK(logits.back() == 7);
      CHECK(hidden.back() == 7);
      const size_t n_logits = session.logits().size(), n_hidden = session.hidden().size();
      CHECK(same_bits(session.logits(), std::span(expected.logits).last(n_logits)));
      CHECK(same_bits(session.hidden(), std::span(expected.hidden).last(n_hidden)));
      Session one(runtime.model, options);  // either alone
      std::vector<float> again(expected.hidden.size());
      one.eval_each(tokens, {}, again);
      CHECK(same_bits(again, expected.hidden));
      CHECK(same_bits(one.logits(), session.logits()));
    }
  }
}

TEST_CASE("a hidden state follows its session") {
  const Runtime runtime = runtime_of(gated_spec("egmla", GateNorm::layer));
  Session session(runtime.model), other(runtime.model);
  CHECK(session.hidden().empty());
  const std::vector<int32_t> tokens = random_tokens(20, 300, 1);
  session.eval(tokens);
  const std::vector<float> hidden(session.hidden().begin(), session.hidden().end());
  CHECK(hidden.size() == runtime.model.info().width);
  other.copy_from(session);
  CHECK(same_bits(other.hidden(), hidden));
  other.rewind(10);
  CHECK(other.hidden().empty());
  other.restore(session.save());  // logits are saved, hidden states are not
  CHECK(!other.logits().empty());
  CHECK(other.hidden().empty());
  other.reset();
  CHECK(other.hidden().empty());
  std::vector<float> logits(10);
  const Result<void> wrong = session.try_eval_each(tokens, logits, {});
  CHECK(!wrong);
  CHECK(int(wrong.error().status()) == int(PITH_E_ARGUMENT));
}
