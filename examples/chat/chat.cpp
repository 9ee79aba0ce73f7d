// A conversation on the terminal: chat MODEL. Every line that you type is a turn; the answer streams; Ctrl-C ends the
// answer and not the conversation; an empty line or end of file ends the program.
//
// The session keeps the conversation: a turn costs its own tokens alone, not those before. A stop string ends the
// answer where the model would speak for the user, and what it had begun of that is taken back by a rewind.
#include <csignal>
#include <iostream>
#include <string>

#include <pith/pith.hpp>

namespace {

volatile std::sig_atomic_t interrupted = 0;
pith_session* volatile running = nullptr;

constexpr uint32_t kMaxTokens = 200;  // of an answer
const std::string kUser = "\nUser:", kModel = "\nAssistant:";

// False: Ctrl-C.
bool eval(pith::Session* session, std::span<const int32_t> tokens) {
  const pith::Result<void> result = session->try_eval(tokens);
  if (!result && result.error().status() != PITH_E_CANCELLED) pith::throw_failure(result.error());
  return result.has_value() && !interrupted;
}

void answer(const pith::Tokenizer& tokenizer, pith::Session* session, pith::Sampler* sampler) {
  pith::TextStream stream({kUser});
  uint64_t shown = session->position();  // up to here the session holds what the user has seen
  for (uint32_t i = 0; i < kMaxTokens; ++i) {
    const int32_t token = sampler->draw(session->logits());
    if (token == tokenizer.eos()) break;
    const std::string text = stream.push(tokenizer.decode(token));
    std::cout << text << std::flush;
    if (stream.stopped() || !eval(session, {&token, 1})) break;
    if (!text.empty()) shown = session->position();
  }
  if (!stream.stopped()) std::cout << stream.finish();
  else if (!session->try_rewind(shown)) std::cout << " (the context is full)";  // then a few tokens more stay
  std::cout << std::endl;
}

void chat(const std::string& path) {
  const pith::Model model = pith::Model::open(path);
  const pith::Tokenizer tokenizer(model);
  pith_session_options options = pith::session_options();
  options.max_threads = pith::count_fast_cpus();
  pith::Session session(model, options);
  pith::Sampler sampler(model.info().vocab_size);
  running = session.get();
  std::signal(SIGINT, [](int) {
    interrupted = 1;
    pith_session_cancel(running);
  });
  for (std::string line; std::cout << "> " << std::flush && std::getline(std::cin, line) && !line.empty();) {
    interrupted = 0;
    // The begin-of-text token once, where the model wants one; the user's text never makes special tokens.
    const bool is_first = session.position() == 0;
    const std::string turn = kUser + " " + line + kModel;
    const std::vector<int32_t> tokens =
        tokenizer.encode(is_first ? turn.substr(1) : turn, is_first ? PITH_ENCODE_DEFAULT : PITH_ENCODE_NO_BOS);
    for (const int32_t token : tokens) sampler.accept(token);
    if (eval(&session, tokens)) answer(tokenizer, &session, &sampler);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  chat(argv[1]);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "chat: " << error.what() << "\n";
  return 1;
}
