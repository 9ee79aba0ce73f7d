// Cancels from another thread: cancel MODEL reads a long prompt on one thread and gives it 50 milliseconds.
//
// What a program with a window does: the evaluation on a thread of its own, and pith_session_cancel, which may be
// called at any time, from the thread of the window. The session afterwards holds the tokens that were read, and may go
// on from there.
#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include <pith/pith.hpp>

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  const pith::Model model = pith::Model::open(argv[1]);
  const std::vector<int32_t> prompt(1'000'000, 1);  // seconds, for the smallest model

  pith::Session session(model);
  pith::Result<void> result;
  std::thread worker([&] { result = session.try_eval(prompt); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  session.cancel();
  worker.join();

  std::printf("%s\n", result ? "the prompt was read to its end" : result.error().message());
  if (!result && result.error().status() != PITH_E_CANCELLED) return 1;
  session.eval(prompt[0]);  // the session goes on
  std::printf("position %llu\n", static_cast<unsigned long long>(session.position()));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "cancel: %s\n", error.what());
  return 1;
}
