// What takes tokens back or elsewhere: cancel, rewind, copy.
#include <doctest/doctest.h>

#include <atomic>
#include <limits>
#include <string>
#include <thread>

#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

// The bytes of the cache alone: those of a state without its header and logits.
Bytes cache_of(const Bytes& state) {
  const int64_t bytes = int64_t(word_at(state, state_at::kCacheBytes));
  return Bytes(state.begin() + state_at::kCache, state.begin() + state_at::kCache + bytes);
}

// A state whose cached numbers are not finite: what follows from it is poisoned.
Bytes poison(Bytes state) {
  const float bad = std::numeric_limits<float>::infinity();
  std::memcpy(state.data() + state_at::kCache, &bad, sizeof bad);
  repair(&state);
  return state;
}

}  // namespace

// ---- Cancel ----------------------------------------------------------------------------------------------------------

TEST_CASE("a token that is cancelled in any layer leaves no trace") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    const size_t n_looks = 2 * size_t(s.spec.config.n_layers);
    const std::vector<int32_t> tokens = few_ids(s.n_before + 20, seed);
    const std::vector<std::vector<float>> expected = all_logits(s.model(), tokens, s.options);
    Canceller canceller;
    pith_session_options options = s.options;
    options.max_threads = 1 + seed % 2;
    canceller.add_to(&options);
    Session session(s.model(), options), undisturbed(s.model(), s.options);
    canceller.session = session.get();
    size_t n_cancelled = 0, n_late = 0, n_traces = 0, n_same = 0;
    const auto cancel = [&](int32_t token, size_t at) {
      canceller.arm(at);
      const std::vector<float> before(session.logits().begin(), session.logits().end());
      const uint64_t position = session.position();
      n_cancelled += pith_session_eval(session.get(), &token, 1, nullptr) == PITH_E_CANCELLED;
      n_late += canceller.n_looks > at + at % 2;  // beyond the layer in which it was cancelled
      n_traces += session.position() != position || !same_bits(session.logits(), before);
      canceller.arm(0);
    };
    for (size_t t = 0; t < tokens.size(); ++t) {
      // Before every token one of another id, or the same, is cancelled in some layer; here and there in every one.
      const bool is_thorough = t == 0 || t == s.n_before || t % 16 == 5;
      const Bytes before = saved(session.get());
      for (size_t at = is_thorough ? 1 : 1 + random() % n_looks; at <= n_looks; at += is_thorough ? 1 : n_looks) {
        cancel(random() % 2 == 0 ? tokens[t] : tokens[random() % tokens.size()], at);
        n_traces += saved(session.get()) != before;
      }
      n_traces += saved(undisturbed.get()) != before;
      undisturbed.eval(tokens[t]);
      session.eval(tokens[t]);
      n_same += same_bits(session.logits(), expected[t]);
    }
    CHECK(n_cancelled >= tokens.size());
    CHECK(n_late == 0);
    CHECK(n_traces == 0);
    CHECK(n_same == tokens.size());
  }
}

TEST_CASE("a cancelled run of tokens keeps those before the one that was being computed") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    const size_t n_looks = 2 * size_t(s.spec.config.n_layers), n_run = 30;
    const std::vector<int32_t> tokens = few_ids(s.n_before + n_run, seed);
    const std::span<const int32_t> before = std::span(tokens).first(s.n_before), run = std::span(tokens).last(n_run);
    const std::vector<float> expected = all_logits(s.model(), tokens, s.options).back();
    Canceller canceller;
    pith_session_options options = s.options;
    options.chunk = 1;  // tests/prefill_test.cpp cancels chunks
    canceller.add_to(&options);
    Session session(s.model(), options), start(s.model(), s.options);
    canceller.session = session.get();
    start.eval(before);
    const std::vector<uint8_t> state = start.save();
    for (int i = 0; i < 3; ++i) {
      session.restore(state);
      const size_t at = 1 + (i == 0 ? random() % n_looks : random() % (n_looks * n_run));
      const size_t n_done = (at - 1) / n_looks;
      CAPTURE(at);
      canceller.arm(at);
      CHECK(int(pith_session_eval(session.get(), run.data(), run.size(), nullptr)) == int(PITH_E_CANCELLED));
      canceller.arm(0);
      CHECK(session.position() == s.n_before + n_done);
      CHECK(session.logits().empty() == (n_done > 0));
      Session undisturbed(s.model(), s.options);
      undisturbed.eval(std::span(tokens).first(s.n_before + n_done));
      CHECK(cache_of(session.save()) == cache_of(undisturbed.save()));
      session.eval(run.subspan(n_done));
      CHECK(same_bits(session.logits(), expected));
    }
  }
}

TEST_CASE("cancel does nothing while no evaluation runs") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  Session session(runtime.model);
  session.cancel();
  session.eval(3);
  session.cancel();
  session.cancel();
  session.eval(std::vector<int32_t>{4, 5});
  CHECK(session.position() == 3);
  CHECK(same_bits(session.logits(), all_logits(runtime.model, {3, 4, 5}, session_options()).back()));
  pith_session_cancel(nullptr);
}

TEST_CASE("cancel from another thread ends a long evaluation") {
  for (const SynthSpec& spec : {gated_spec("egmla", GateNorm::layer), small_spec("mla")}) {
    CAPTURE(spec.name);
    const Runtime runtime = runtime_of(spec);
    std::atomic<bool> has_begun{false};
    pith_session_options options = session_options();
    options.capacity = 64;
    options.max_threads = 2;
    options.clock_context = &has_begun;
    options.clock = [](void* opaque) -> uint64_t {
      static_cast<std::atomic<bool>*>(opaque)->store(true);
      return 0;
    };
    Session session(runtime.model, options);
    const std::vector<int32_t> tokens = random_tokens(200000, spec.config.vocab_size, 1);  // many seconds
    std::thread other([&] {
      while (!has_begun.load()) std::this_thread::yield();
      session.cancel();
    });
    const pith_status status = pith_session_eval(session.get(), tokens.data(), tokens.size(), nullptr);
    other.join();
    CHECK(int(status) == int(PITH_E_CANCELLED));
    const size_t n = size_t(session.position());
    CHECK(n < tokens.size());
    session.eval(std::span(tokens).subspan(n, 100));
    Session undisturbed(runtime.model, options);
    undisturbed.eval(std::span(tokens).first(n + 100));
    CHECK(same_bits(session.logits(), undisturbed.logits()));
  }
}

// ---- Rewind ----------------------------------------------------------------------------------------------------------

// Grouped attention reads a token by the kind of its group, which depends on what came in between: equal in real arithmetic, so that in
// float32 the two are within the sum of what each owes the oracle (attention_test.cpp). In int8 they differ as two 8-bit computations do.
TEST_CASE("a rewound session goes on as one that never went further") {
  constexpr double kBound = 2 * 2e-5;
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  double worst = 0;
  size_t n_exact = 0, n_near = 0;
  for (const Scenario& s : scenarios(seed, kBeforeFull)) {
    CAPTURE(s.name);
    const bool is_grouped = s.is_gated() && !s.is_materialised();
    const std::vector<int32_t> first = few_ids(kScenarioCapacity, seed), other = few_ids(50, seed + 1);
    for (const size_t n_kept : {0, 1, 3, 17, 39}) {  // back from a ring that has just become full
      CAPTURE(n_kept);
      std::vector<int32_t> tokens(first.begin(), first.begin() + int64_t(n_kept));
      tokens.insert(tokens.end(), other.begin(), other.end());
      const std::vector<std::vector<float>> expected = all_logits(s.model(), tokens, s.options);
      Session session(s.model(), s.options);
      session.eval(first);
      session.rewind(n_kept);
      CHECK(session.position() == n_kept);
      CHECK(session.logits().empty());
      const std::vector<uint8_t> state = session.save();
      Session restored(s.model(), s.options);
      restored.restore(state);
      CHECK(restored.logits().empty());
      CHECK(restored.save() == state);
      for (size_t t = n_kept; t < tokens.size(); ++t) {
        session.eval(tokens[t]);
        restored.eval(tokens[t]);
        REQUIRE(same_bits(session.logits(), restored.logits()));
        if (is_grouped && s.options.cache == PITH_PRECISION_I8) continue;
        const bool is_same = same_bits(session.logits(), expected[t]);
        if (!is_grouped) REQUIRE(is_same);
        is_same ? ++n_exact : ++n_near;
        if (!is_same) worst = std::max(worst, relative_distance(session.logits(), expected[t]));
      }
    }
  }
  CHECK(worst < kBound);
  CHECK(n_exact > 1000);
  CHECK(n_near > 10);  // positive control: the kinds of groups did depend on what came in between
  MESSAGE("grouped in float32: ", worst, " after a rewind");
}

TEST_CASE("a rewind is refused once its tokens were overwritten, and only then") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const Scenario& s : scenarios(seed, kBeforeFull)) {
    CAPTURE(s.name);
    Session session(s.model(), s.options);
    CHECK(int(pith_session_rewind(session.get(), 0, nullptr)) == int(PITH_OK));
    CHECK(int(pith_session_rewind(session.get(), 1, nullptr)) == int(PITH_E_ARGUMENT));
    const std::vector<int32_t> tokens = few_ids(kScenarioCapacity + 3, seed);
    session.eval(std::span(tokens).first(kScenarioCapacity));
    const std::vector<uint8_t> full = session.save();
    CHECK(int(pith_session_rewind(session.get(), kScenarioCapacity, nullptr)) == int(PITH_OK));
    CHECK(session.save() == full);  // logits and all
    CHECK(int(pith_session_rewind(session.get(), kScenarioCapacity + 1, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(int(pith_session_rewind(session.get(), UINT64_MAX, nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(session.save() == full);
    for (size_t n = kScenarioCapacity; n < tokens.size(); ++n) {
      session.eval(tokens[n]);
      const std::vector<uint8_t> before = session.save();
      for (uint64_t position = 0; position <= n; ++position)
        CHECK(int(pith_session_rewind(session.get(), position, nullptr)) == int(PITH_E_STATE));
      CHECK(int(pith_session_rewind(session.get(), n + 1, nullptr)) == int(PITH_OK));
      CHECK(int(pith_session_rewind(session.get(), n + 2, nullptr)) == int(PITH_E_ARGUMENT));
      CHECK(session.save() == before);
    }
    session.restore(full);
    session.rewind(kScenarioCapacity - 1);
    CHECK(session.position() == kScenarioCapacity - 1);
    CHECK_THROWS_AS(session.rewind(kScenarioCapacity), Error);
    CHECK(int(pith_session_rewind(nullptr, 0, nullptr)) == int(PITH_E_ARGUMENT));
  }
}

// ---- Copy ------------------------------------------------------------------------------------------------------------

TEST_CASE("a copy goes on as the original, and neither sees what the other does") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  for (const Scenario& s : scenarios(seed)) {
    CAPTURE(s.name);
    const std::vector<int32_t> before = few_ids(s.n_before, seed);
    std::vector<int32_t> one = before, other = before;
    for (const int32_t token : few_ids(30, seed + 1)) one.push_back(token);
    for (const int32_t token : few_ids(30, seed + 2)) other.push_back(token);
    const auto expected_one = all_logits(s.model(), one, s.options);
    const auto expected_other = all_logits(s.model(), other, s.options);
    pith_session_options options = s.options;
    options.max_threads = 2;
    if (s.n_before == kBeforeFull && !s.is_gated()) options.tier = "scalar";
    Session original(s.model(), s.options), copy(s.model(), options);
    original.eval(before);
    copy.eval(few_ids(55, seed + 3));
    copy.copy_from(original);
    CHECK(copy.position() == s.n_before);
    CHECK(same_bits(copy.logits(), original.logits()));
    CHECK(copy.save() == original.save());
    size_t n_same = 0;
    for (size_t t = s.n_before; t < one.size(); ++t) {  // in turn
      original.eval(one[t]);
      copy.eval(other[t]);
      n_same += same_bits(original.logits(), expected_one[t]) && same_bits(copy.logits(), expected_other[t]);
    }
    CHECK(n_same == 30);
    original.reset();  // an empty one can be copied too
    copy.copy_from(original);
    CHECK(copy.position() == 0);
    CHECK(copy.logits().empty());
    copy.eval(before);
    CHECK(same_bits(copy.logits(), expected_one[s.n_before - 1]));
  }
}

TEST_CASE("a copy between sessions that differ, or onto itself, is refused and changes nothing") {
  const Runtime runtime = runtime_of(gated_spec("egmla", GateNorm::layer)), another = runtime_of(small_spec("mla"));
  pith_session_options options = session_options();
  options.capacity = 20;
  options.n_keep = 2;
  Session session(runtime.model, options);
  session.eval(few_ids(30, 1));
  const std::vector<uint8_t> state = session.save();
  const auto is_refused = [&](const Model& model, const pith_session_options& others) {
    Session other(model, others);
    other.eval(few_ids(5, 2));
    const std::vector<uint8_t> before = other.save();
    CHECK(int(pith_session_copy(session.get(), other.get(), nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(int(pith_session_copy(other.get(), session.get(), nullptr)) == int(PITH_E_ARGUMENT));
    CHECK(session.save() == state);
    CHECK(other.save() == before);
  };
  const auto with = [&](auto change) {
    pith_session_options others = options;
    change(&others);
    return others;
  };
  is_refused(another.model, options);
  is_refused(runtime.model, with([](auto* o) { o->capacity = 21; }));
  is_refused(runtime.model, with([](auto* o) { o->n_keep = 1; }));
  is_refused(runtime.model, with([](auto* o) { o->cache = PITH_PRECISION_F32; }));
  is_refused(runtime.model, with([](auto* o) { o->activations = PITH_PRECISION_F32; }));
  is_refused(runtime.model, with([](auto* o) { o->attention = PITH_ATTENTION_MATERIALISE; }));
  is_refused(runtime.model, with([](auto* o) { o->pool_bytes = PITH_POOL_NONE; }));
  CHECK(int(pith_session_copy(session.get(), session.get(), nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_session_copy(session.get(), nullptr, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_session_copy(nullptr, session.get(), nullptr)) == int(PITH_E_ARGUMENT));
  CHECK_THROWS_AS(session.copy_from(session), Error);
  CHECK(session.save() == state);
}

TEST_CASE("a poisoned session is copied as it is, not saved, and healed by rewind, restore, copy and reset") {
  const Runtime runtime = runtime_of(small_spec("mla"), "f32");
  const pith_session_options options = exact_options();
  Session good(runtime.model, options);
  good.eval(std::vector<int32_t>{1, 2, 3});
  const std::vector<uint8_t> state = good.save();
  Session session(runtime.model, options), copy(runtime.model, options);
  const auto poison_session = [&] {
    session.restore(poison(state));
    const int32_t token = 4;
    REQUIRE(int(pith_session_eval(session.get(), &token, 1, nullptr)) == int(PITH_E_NUMERIC));
  };
  const auto is_poisoned = [](Session* s) {
    const int32_t token = 4;
    Bytes out(pith_session_state_bytes(s->get()));
    size_t written = 0;
    return pith_session_eval(s->get(), &token, 1, nullptr) == PITH_E_STATE &&
           pith_session_save(s->get(), out.data(), out.size(), &written, nullptr) == PITH_E_STATE;
  };
  poison_session();
  CHECK(is_poisoned(&session));
  copy.copy_from(session);
  CHECK(is_poisoned(&copy));
  copy.copy_from(good);
  CHECK(copy.save() == state);
  session.restore(state);
  CHECK(session.save() == state);
  poison_session();
  session.rewind(session.position());  // nothing happens
  CHECK(is_poisoned(&session));
  session.rewind(0);
  session.eval(std::vector<int32_t>{1, 2, 3});
  CHECK(session.save() == state);
  poison_session();
  session.reset();
  session.eval(std::vector<int32_t>{1, 2, 3});
  CHECK(session.save() == state);
}

TEST_CASE("a session that another thread is inside is not copied, saved, restored or rewound") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  struct Context {
    pith_session *session = nullptr, *idle = nullptr;
    Bytes state;
    int n_refused = 0;
  } context;
  pith_session_options options = session_options();
  Session idle(runtime.model, options);
  idle.eval(7);
  options.clock_context = &context;
  options.clock = [](void* opaque) -> uint64_t {  // runs in the middle of an eval
    Context* c = static_cast<Context*>(opaque);
    std::thread([c] {
      Bytes out(c->state.size());
      size_t written = 0;
      c->n_refused += pith_session_copy(c->session, c->idle, nullptr) == PITH_E_BUSY;
      c->n_refused += pith_session_copy(c->idle, c->session, nullptr) == PITH_E_BUSY;
      c->n_refused += pith_session_save(c->session, out.data(), out.size(), &written, nullptr) == PITH_E_BUSY;
      c->n_refused += pith_session_restore(c->session, c->state.data(), c->state.size(), nullptr) == PITH_E_BUSY;
      c->n_refused += pith_session_rewind(c->session, 0, nullptr) == PITH_E_BUSY;
    }).join();
    return 0;
  };
  Session session(runtime.model, options);
  context.session = session.get();
  context.idle = idle.get();
  context.state = idle.save();
  session.eval(5);
  CHECK(context.n_refused == 5 * 2 * 3);
  CHECK(idle.save() == context.state);
  CHECK(same_bits(session.logits(), all_logits(runtime.model, {5}, session_options()).back()));
}
