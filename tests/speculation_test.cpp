// Speculative decoding gives the text, the logits and the cache of decoding one by one.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "layers/chunk.h"
#include "session_testing.h"
#include "speculation.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

std::vector<int32_t> drafted(const PromptLookup& text, size_t n) {
  const PromptLookup::Draft found = text.draft(n);
  return {found.tokens.begin(), found.tokens.end()};
}

PromptLookup text_of(const std::vector<int32_t>& tokens) {
  PromptLookup text;
  for (const int32_t token : tokens) text.add(token);
  return text;
}

// What the header of PromptLookup says, written as a search of all places for all lengths, the longest first.
std::vector<int32_t> sought(const std::vector<int32_t>& text, size_t n) {
  for (size_t length = std::min(PromptLookup::kLongest, text.size()); length >= PromptLookup::kShortest; --length) {
    const std::vector<int32_t> end(text.end() - int64_t(length), text.end());
    for (size_t first = text.size() - length; first-- > 0;) {
      if (!std::equal(end.begin(), end.end(), text.begin() + int64_t(first))) continue;
      const auto next = text.begin() + int64_t(first + length);
      return {next, next + int64_t(std::min(n, size_t(text.end() - next)))};
    }
  }
  return {};
}

}  // namespace

TEST_CASE("prompt lookup: the longest match, the latest of several, nothing where there is none") {
  CHECK(drafted(text_of({1, 2, 3, 9, 1, 2, 4, 9, 1, 2}), 3) == std::vector<int32_t>{4, 9, 1});
  CHECK(drafted(text_of({1, 2, 3, 4, 9, 2, 3, 5, 8, 1, 2, 3}), 1) == std::vector<int32_t>{4});
  CHECK(drafted(text_of({1, 2, 3, 4, 5}), 3).empty());
  CHECK(drafted(text_of({7, 7, 7}), 5) == std::vector<int32_t>{7});
  CHECK(drafted(text_of({}), 5).empty());
  CHECK(drafted(text_of({5}), 5).empty());
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  size_t n_found = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::vector<int32_t> tokens = random_tokens(random() % 60, 1 + int32_t(random() % 8), random());
    const size_t n = 1 + random() % 6;
    const std::vector<int32_t> expected = sought(tokens, n);
    REQUIRE(drafted(text_of(tokens), n) == expected);
    n_found += !expected.empty();
  }
  CHECK(n_found > 1000);
  CHECK(n_found < 2900);
}

TEST_CASE("drafts are made while they pay") {
  CHECK(Pay::kMaxDrafted + 1 == size_t(kMaxSteps));
  Pay pay;
  CHECK(pay.n_worth(8) == 0);  // no step was timed yet
  pay.add_time(1, 1.0);
  pay.add_time(7, 1.6);  // a tenth of a step for each further token
  CHECK(pay.n_worth(8) == Pay::kMaxDrafted);
  for (int i = 0; i < 60; ++i) pay.add_outcome(8, 6, 0);
  CHECK(pay.n_worth(8) == 0);  // never right
  CHECK(pay.n_worth(2) > 0);   // of another kind nothing is known
  int n_tries = 1;
  while (pay.n_worth(8) == 0 && n_tries < 1000) ++n_tries;
  CHECK(n_tries > 2);
  CHECK(n_tries < 200);  // it is tried again
  Pay dear;
  dear.add_time(1, 1.0);
  for (int i = 0; i < 40; ++i) dear.add_time(3, 3.0);  // tokens that share nothing
  CHECK(dear.n_worth(8) == 0);
}

TEST_CASE("a text is the same with drafts and without, to the bits of logits and cache") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  uint64_t n_accepted = 0, n_wrong = 0;
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    pith_session_options options = s.options;
    options.chunk = 0;
    options.capacity = 64;
    const uint32_t vocab_size = uint32_t(s.spec.config.vocab_size);
    for (const float temperature : {PITH_GREEDY, 0.7f}) {
      CAPTURE(temperature);
      pith_sampler_options sampling = sampler_options();
      sampling.temperature = temperature;
      sampling.top_k = 1 + uint32_t(random() % 3);  // few, so that texts repeat
      sampling.seed = random();
      const std::vector<int32_t> prompt = few_ids(20, random());
      const size_t n_tokens = 20 + random() % 70;  // of some the ring becomes full
      Session plain(s.model(), options), session(s.model(), options);
      Sampler plain_sampler(vocab_size, sampling), sampler(vocab_size, sampling);
      plain.eval(prompt);
      session.eval(prompt);
      Speculation text(s.model(), &session, options.capacity, Drafts::all);
      text.read(prompt);
      size_t n_same = 0, n_logits = 0;
      for (size_t i = 0; i < n_tokens; ++i) {
        n_logits += same_bits(text.logits(), plain.logits()) && text.position() == plain.position();
        const int32_t expected = plain_sampler.draw(plain.logits()), token = sampler.draw(text.logits());
        n_same += token == expected;
        plain.eval(expected);
        REQUIRE(text.eval(token));
      }
      CHECK(n_same == n_tokens);
      CHECK(n_logits == n_tokens);
      REQUIRE(text.settle());
      CHECK(saved(session.get()) == saved(plain.get()));
      CHECK(same_bits(session.logits(), plain.logits()));
      n_accepted += text.n_accepted();
      n_wrong += text.n_drafted() - text.n_accepted();
    }
  }
  CHECK(n_accepted > 100);
  CHECK(n_wrong > 100);
}

TEST_CASE("a draft whose logits are no numbers is dropped, and the text goes on") {
  SynthSpec spec;  // without gate, and with an output matrix of its own
  for (const SynthSpec& variant : all_variants()) {
    if (!variant.tied && variant.config.gate != Gate::up) spec = variant;
  }
  REQUIRE(!spec.name.empty());
  const Runtime runtime = runtime_of(spec, "f32");
  for (size_t i = 0; i < pith_model_tensor_count(runtime.model.get()); ++i) {
    const pith_tensor tensor = runtime.model.tensor(i);
    if (std::string_view(tensor.name, tensor.name_bytes) != "token_embd.weight") continue;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(runtime.bytes.get() + (static_cast<const uint8_t*>(tensor.data) - runtime.bytes.get()), &nan,
                sizeof nan);  // the first number of token 0
  }
  pith_session_options options = session_options();
  options.capacity = 64;
  Session session(runtime.model, options), plain(runtime.model, options);
  const std::vector<int32_t> prompt{1, 2, 3};
  session.eval(prompt);
  plain.eval(prompt);
  REQUIRE(!Session(runtime.model, options).try_eval(0));  // the token that no text may have
  Speculation text(runtime.model, &session, options.capacity, Drafts::all);
  text.read(std::vector<int32_t>{5, 6, 0, 7, 5});
  CHECK(text.eval(6));  // whose drafts are 0, 7, 5, 6
  CHECK(text.n_drafted() == 0);
  plain.eval(6);
  CHECK(same_bits(text.logits(), plain.logits()));
  CHECK(text.position() == 4);
}
