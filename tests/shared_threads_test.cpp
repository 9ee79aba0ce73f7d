// Sessions on several threads that share the library's, and executors that do not run what they are given.
#include <atomic>
#include <random>
#include <thread>

#include "session_testing.h"

using namespace pith;
using namespace pith::test;

namespace {

constexpr size_t kPrompt = 70, kSteps = 12;

std::vector<int32_t> some_tokens(uint64_t seed) { return random_tokens(kPrompt + kSteps, 60, seed); }

// The logits after the prompt and after every step.
std::vector<float> read(pith_session* session, const std::vector<int32_t>& tokens, int32_t vocab_size) {
  std::vector<float> all;
  const auto eval = [&](const int32_t* first, size_t n) {
    if (pith_session_eval(session, first, n, nullptr) != PITH_OK) return;
    const std::vector<float> logits = copy_of_logits(session, vocab_size);
    all.insert(all.end(), logits.begin(), logits.end());
  };
  eval(tokens.data(), kPrompt);
  for (size_t i = kPrompt; i < tokens.size(); ++i) eval(&tokens[i], 1);
  return all;
}

pith_session_options team_options(uint32_t max_threads) {
  pith_session_options options = session_options();
  options.capacity = 200;
  options.max_threads = max_threads;
  return options;
}

}  // namespace

TEST_CASE("four sessions on four threads that share the library's threads give the bits of one alone") {
  const uint64_t seed = std::random_device()();
  CAPTURE(seed);
  const Runtime runtime = runtime_of(small_spec("mla"));
  const int32_t vocab_size = int32_t(runtime.model.info().vocab_size);
  constexpr size_t kSessions = 4, kRounds = 5;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<std::vector<float>> expected;
  for (size_t i = 0; i < kSessions; ++i) {
    tokens.push_back(some_tokens(seed + i));
    Session alone(runtime.model, team_options(1));
    expected.push_back(read(alone.get(), tokens[i], vocab_size));
    REQUIRE(expected[i].size() == (1 + kSteps) * size_t(vocab_size));
  }
  // Made here or there, evaluated there: a session is of no thread.
  for (const bool is_made_there : {false, true}) {
    std::vector<Session> sessions;
    for (size_t i = 0; i < kSessions && !is_made_there; ++i) sessions.emplace_back(runtime.model, team_options(3));
    std::atomic<int> n_wrong{0};
    std::vector<std::thread> hosts;
    for (size_t i = 0; i < kSessions; ++i) {
      hosts.emplace_back([&, i] {
        for (size_t round = 0; round < kRounds; ++round) {
          if (is_made_there) {
            Session own(runtime.model, team_options(3));
            n_wrong += !same_bits(read(own.get(), tokens[i], vocab_size), expected[i]);
          } else {
            sessions[i].reset();
            n_wrong += !same_bits(read(sessions[i].get(), tokens[i], vocab_size), expected[i]);
          }
        }
      });
    }
    for (std::thread& host : hosts) host.join();
    CHECK(n_wrong == 0);
  }
}

TEST_CASE("teams of several threads borrow and return the same workers at the same time") {
  constexpr CpuSet kCpus{5, 11};  // a set of CPUs that no thread has: four workers of this test's own
  constexpr int32_t kHosts = 4, kRegions = 300, kTasks = 40;
  std::atomic<int64_t> sum{0}, n_most{0};
  std::vector<std::thread> hosts;
  for (int32_t host = 0; host < kHosts; ++host) {
    hosts.emplace_back([&, host] {
      Team team;
      if (!team.warm_up(2 + host, kCpus)) return;
      for (int32_t region = 0; region < kRegions; ++region) {
        team.set_threads(1 + (region + host) % (2 + host));
        int64_t slots[kTasks] = {};  // without atomics: a task that ran twice, or after its job, shows
        int64_t n_running = 0;
        const bool is_run = team.assemble([&] {
          n_running = team.n_running();
          for (int32_t job = 0; job < 3; ++job) team.run(kTasks, [&](int32_t task, int32_t) { ++slots[task]; });
        });
        for (const int64_t slot : slots) sum += is_run ? slot : 0;
        if (n_running > n_most) n_most = n_running;
      }
    });
  }
  for (std::thread& host : hosts) host.join();
  CHECK(sum == int64_t(kHosts) * kRegions * kTasks * 3);
#ifndef PITH_OPENMP
  CHECK(count_workers(kCpus) == 4);  // one fewer than the CPUs, however many sessions there were
  CHECK(n_most > 1);
#endif
}

TEST_CASE("a session says how many threads there are") {
  const Runtime runtime = runtime_of(small_spec("mla"));
  const uint32_t n_cpus = uint32_t(usable_cpus().n);
  for (const uint32_t asked : {0u, 1u, 2u, 3u, 64u}) {
    Session session(runtime.model, team_options(asked));
    CHECK(session.threads() == std::min(std::max(asked, 1u), n_cpus));
    session.set_threads(1);
    CHECK(session.threads() == 1);
  }
  CHECK(pith_session_threads(nullptr) == 0);
}

namespace {

using Task = void (*)(void*, uint32_t);

// Runs the first n_run tasks, whatever it was given, one after the other.
void run_some(void* n_run, uint32_t n, Task task, void* context) {
  for (uint32_t i = 0; i < n && i < *static_cast<const uint32_t*>(n_run); ++i) task(context, i);
}

}  // namespace

TEST_CASE("an executor that runs none of its threads' tasks is an error, and one that runs some is not") {
  const uint64_t seed = std::random_device()();
  CAPTURE(seed);
  if (usable_cpus().n < 2) return;  // then no executor is called
  const Runtime runtime = runtime_of(small_spec("mla"));
  const int32_t vocab_size = int32_t(runtime.model.info().vocab_size);
  const std::vector<int32_t> tokens = some_tokens(seed);
  Session alone(runtime.model, team_options(1));
  const std::vector<float> expected = read(alone.get(), tokens, vocab_size);
  uint32_t n_run = 0;
  pith_session_options options = team_options(2);
  options.executor = run_some;
  options.executor_context = &n_run;
  const Result<Session> refused = Session::create(runtime.model, options);
  REQUIRE(!refused);
  CHECK(refused.error().status() == PITH_E_ARGUMENT);
  CHECK(std::string(refused.error().message()).find("option executor") != std::string::npos);
  for (n_run = 1; n_run <= 2;) {
    CAPTURE(n_run);
    Session session(runtime.model, options);
    CHECK(same_bits(read(session.get(), tokens, vocab_size), expected));
    const std::vector<uint8_t> state = session.save();
    const uint32_t before = n_run;
    n_run = 0;  // a pool of threads that has ended
    const Result<void> evaluated = session.try_eval(tokens);
    REQUIRE(!evaluated);
    CHECK(evaluated.error().status() == PITH_E_ARGUMENT);
    CHECK(std::string(evaluated.error().message()).find("option executor") != std::string::npos);
    const Result<void> restored = session.try_restore(state);
    REQUIRE(!restored);
    CHECK(restored.error().status() == PITH_E_ARGUMENT);
    n_run = before;
    CHECK(session.save() == state);  // nothing has happened
    session.restore(state);
    session.reset();
    CHECK(same_bits(read(session.get(), tokens, vocab_size), expected));
    ++n_run;
  }
}
