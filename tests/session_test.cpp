// Contracts of the session: same bits, threads, misuse.
#include <doctest/doctest.h>

#include <thread>

#include "session_testing.h"
#include "variants.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

TEST_CASE("same bits for every chunking, thread count and tier") {
  for (const SynthSpec& spec : some_variants()) {
    CAPTURE(spec.name);
    const Runtime runtime = runtime_of(spec);
    const std::vector<int32_t> tokens = random_tokens(150, 300, 2);
    for (const bool one_by_one : {true, false}) {
      pith_session_options options = session_options();
      if (one_by_one) options.chunk = 1;
      else options.attention = PITH_ATTENTION_MATERIALISE;
      const auto last_logits = [&](size_t step, uint32_t threads, const char* tier) {
        options.max_threads = threads;
        options.tier = tier;
        Session session(runtime.model, options);
        for (size_t i = 0; i < tokens.size(); i += step)
          session.eval(std::span(tokens).subspan(i, std::min(step, tokens.size() - i)));
        return std::vector<float>(session.logits().begin(), session.logits().end());
      };
      const std::vector<float> expected = last_logits(tokens.size(), 1, nullptr);
      for (const size_t step : {1, 2, 7, 64}) CHECK(same_bits(expected, last_logits(step, 1, nullptr)));
      for (const uint32_t threads : {2u, 3u, 8u}) CHECK(same_bits(expected, last_logits(50, threads, nullptr)));
      int usable = 0;
      for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) {
        if (usable) CHECK(same_bits(expected, last_logits(tokens.size(), 2, name)));
      }
    }
  }
}

TEST_CASE("same bits on the threads of the caller's executor") {
  const Runtime runtime = runtime_of(small_spec("egmla"));
  const std::vector<int32_t> tokens = random_tokens(150, 300, 3);
  const auto last_logits = [&](pith_executor executor, int* calls) {
    pith_session_options options = session_options();
    options.max_threads = 2;
    options.executor = executor;
    options.executor_context = calls;
    Session session(runtime.model, options);
    for (const int32_t token : tokens) session.eval(token);
    return std::vector<float>(session.logits().begin(), session.logits().end());
  };
  int calls = 0;
  const std::vector<float> expected = last_logits(nullptr, nullptr);
  const auto executor = [](void* context, uint32_t n, void (*task)(void*, uint32_t), void* task_context) {
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < n; ++i) threads.emplace_back(task, task_context, i);
    for (std::thread& thread : threads) thread.join();
    ++*static_cast<int*>(context);
  };
  CHECK(same_bits(expected, last_logits(executor, &calls)));
  CHECK((calls > 0 || std::thread::hardware_concurrency() == 1));
}

TEST_CASE("the tier that was asked for is the one that runs") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  int usable = 0;
  size_t n_usable = 0;
  for (size_t i = 0; const char* name = pith_tier_name(i, &usable); ++i) {
    if (!usable) continue;
    pith_session_options options = session_options();
    options.tier = name;
    CHECK(std::string(pith_session_tier(Session(runtime.model, options).get())) == name);
    ++n_usable;
  }
  CHECK(n_usable >= 1);
}

TEST_CASE("two sessions on one model in two threads equal serial runs") {
  const Runtime runtime = runtime_of(gated_spec("egmla", GateNorm::layer));
  const auto story = [&](uint64_t seed) {
    return all_logits(runtime.model, random_tokens(80, 300, seed), session_options()).back();
  };
  const std::vector<float> serial[2] = {story(1), story(2)};
  std::vector<float> parallel[2];
  std::thread other([&] { parallel[1] = story(2); });
  parallel[0] = story(1);
  other.join();
  CHECK(same_bits(serial[0], parallel[0]));
  CHECK(same_bits(serial[1], parallel[1]));
  CHECK(!same_bits(serial[0], serial[1]));
}

TEST_CASE("a session entered twice, from a second thread or from its own callback, is refused") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  struct Context {
    pith_session* session = nullptr;
    int refused = 0;
  } context;
  pith_session_options options = session_options();
  options.clock_context = &context;
  options.clock = [](void* opaque) -> uint64_t {  // runs in the middle of an eval
    Context* c = static_cast<Context*>(opaque);
    std::thread([c] {
      const int32_t token = 1;
      c->refused += pith_session_eval(c->session, &token, 1, nullptr) == PITH_E_BUSY;
      c->refused += pith_session_reset(c->session, nullptr) == PITH_E_BUSY;
    }).join();
    return 0;
  };
  Session session(runtime.model, options);
  context.session = session.get();
  session.eval(5);
  CHECK(context.refused >= 2);
  CHECK(session.position() == 1);
  const std::vector<float> disturbed(session.logits().begin(), session.logits().end());
  CHECK(same_bits(disturbed, all_logits(runtime.model, {5}, session_options()).back()));
}

TEST_CASE("misuse is refused and changes nothing") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  Session session(runtime.model);
  const int32_t bad[] = {3, 300}, negative = -1, good = 3;
  CHECK(session.logits().empty());
  CHECK(int(pith_session_eval(session.get(), bad, 2, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_session_eval(session.get(), &negative, 1, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_session_eval(session.get(), nullptr, 1, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_session_eval(nullptr, &good, 1, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(session.position() == 0);
  CHECK(int(pith_session_eval(session.get(), nullptr, 0, nullptr)) == int(PITH_OK));
  CHECK(int(pith_session_set_threads(session.get(), 2, nullptr)) == int(PITH_E_ARGUMENT));
  CHECK(int(pith_session_eval(session.get(), &good, 1, nullptr)) == int(PITH_OK));
  CHECK(session.position() == 1);
  session.reset();
  CHECK(session.position() == 0);
  CHECK(session.logits().empty());
  pith_session_options options = session_options();
  pith_error error{};
  size_t bytes = 0;
  options.struct_size = 3;
  CHECK(int(pith_session_bytes(runtime.model.get(), &options, &bytes, &error)) == int(PITH_E_ABI));
  options = session_options();
  options.capacity = (1u << 24) + 1;
  CHECK(int(pith_session_bytes(runtime.model.get(), &options, &bytes, &error)) == int(PITH_E_ARGUMENT));
  options = session_options();
  options.cache = 7;
  CHECK(int(pith_session_bytes(runtime.model.get(), &options, &bytes, &error)) == int(PITH_E_ARGUMENT));
  CHECK(std::string(error.message).find("cache") != std::string::npos);
  options = session_options();
  REQUIRE(int(pith_session_bytes(runtime.model.get(), &options, &bytes, nullptr)) == int(PITH_OK));
  const Block block = block_of(bytes + 64);
  pith_session* raw = nullptr;
  for (const size_t shift : {1, 4, 8, 32})
    CHECK(int(pith_session_init(runtime.model.get(), &options, block.get() + shift, bytes, &raw, nullptr)) ==
          int(PITH_E_ALIGNMENT));
  CHECK(int(pith_session_init(runtime.model.get(), &options, nullptr, bytes, &raw, nullptr)) == int(PITH_E_ARGUMENT));
}
