// Signals of the host: a handler that cancels at any instant, and a timer that interrupts ten thousand times a second.
#include <doctest/doctest.h>

#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <chrono>

#include "quick.h"
#include "session_testing.h"

using namespace pith;
using namespace pith::internal;
using namespace pith::test;

namespace {

std::atomic<pith_session*> to_cancel{nullptr};
std::atomic<long> n_signals{0};

void handle(int) {
  ++n_signals;
  pith_session_cancel(to_cancel.load());
}

// Interrupts this process every so many microseconds, or once; system calls end with EINTR.
class Timer {
 public:
  Timer() {
    struct sigaction action {};
    action.sa_handler = handle;  // without SA_RESTART
    REQUIRE(sigaction(SIGALRM, &action, &before_) == 0);
  }
  ~Timer() {
    set(0, 0);
    sigaction(SIGALRM, &before_, nullptr);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void set(long first_us, long every_us) {
    const itimerval value{{0, every_us}, {0, first_us}};
    REQUIRE(setitimer(ITIMER_REAL, &value, nullptr) == 0);
  }

 private:
  struct sigaction before_ {};
};

}  // namespace

TEST_CASE("cancelled from a signal handler at any instant, a session goes on with the same bits") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  long n_cancelled = 0, n_instants = 0, n_wrong = 0;
  for (const SynthSpec& spec : {small_spec("mla"), gated_spec("egmla", GateNorm::layer)}) {
    for (const uint32_t n_threads : {1u, 2u}) {
      CAPTURE(spec.name);
      CAPTURE(n_threads);
      const Runtime runtime = runtime_of(spec);
      const std::vector<int32_t> tokens = few_ids(120, seed);
      pith_session_options options = session_options();
      options.capacity = 50;
      options.chunk = 1;  // so that all ways to cut a text into calls give the same bits
      options.max_threads = n_threads;
      const auto began = std::chrono::steady_clock::now();
      const std::vector<std::vector<float>> expected = all_logits(runtime.model, tokens, options);
      const std::chrono::duration<double, std::micro> undisturbed = std::chrono::steady_clock::now() - began;
      Session session(runtime.model, options);
      Timer timer;
      to_cancel = session.get();
      for (int round = 0; round < (is_quick() ? 5 : 60); ++round) {
        session.reset();
        while (session.position() < tokens.size()) {
          const size_t n_before = size_t(session.position());
          timer.set(long(1 + random() % uint64_t(1 + undisturbed.count())), 0);
          const pith_status status =
              pith_session_eval(session.get(), tokens.data() + n_before, tokens.size() - n_before, nullptr);
          ++n_instants;
          n_cancelled += status == PITH_E_CANCELLED;
          const size_t n_now = size_t(session.position());
          const bool is_right = status == PITH_OK ? n_now == tokens.size()
                                                  : status == PITH_E_CANCELLED && n_now < tokens.size() &&
                                                        session.logits().empty() == (n_now > n_before || n_now == 0);
          n_wrong += !is_right;
          if (status == PITH_E_CANCELLED && n_now < tokens.size()) {  // some tokens one by one, in peace
            timer.set(0, 0);
            if (session.try_eval(tokens[n_now]).has_value()) n_wrong += !same_bits(session.logits(), expected[n_now]);
          }
        }
        n_wrong += !same_bits(session.logits(), expected.back());
      }
      to_cancel = nullptr;
    }
  }
  CHECK(n_wrong == 0);
  CHECK(n_cancelled >= (is_quick() ? 1 : 100));
  MESSAGE(n_cancelled, " of ", n_instants, " evaluations cancelled");
}

TEST_CASE("ten thousand signals a second change no bit, whatever the team") {
  const uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  const Runtime runtime = runtime_of(gated_spec("egmla", GateNorm::layer));
  const std::vector<int32_t> tokens = few_ids(is_quick() ? 100 : 1500, seed);
  pith_session_options options = session_options();
  options.capacity = 150;
  const auto story = [&] {
    Session session(runtime.model, options);
    session.eval(std::span(tokens).first(60));
    for (size_t t = 60; t < tokens.size(); ++t) session.eval(tokens[t]);
    return std::vector<float>(session.logits().begin(), session.logits().end());
  };
  const std::vector<float> expected = story();
  const long before = n_signals;
  Timer timer;
  timer.set(100, 100);
  for (const uint32_t n_threads : {1u, 2u, 3u}) {
    options.max_threads = n_threads;
    CHECK(same_bits(story(), expected));
  }
  timer.set(0, 0);
  const long n = n_signals - before;
  CHECK(n > 10);
  MESSAGE(n, " signals");
}
