// A conversation on the terminal: chat MODEL [TEMPLATE]. Every line that you type is a turn; the answer streams; Ctrl-C ends
// the answer and not the conversation; an empty line or end of file ends the program. TEMPLATE is for files without a chat
// template of their own.
//
// The session keeps the conversation: a turn costs its own tokens alone, not those before.
#include <csignal>
#include <iostream>
#include <string>

#include <pith/pith.hpp>

namespace {

volatile std::sig_atomic_t interrupted = 0;
pith_session* volatile running = nullptr;

constexpr uint32_t kMaxTokens = 200;  // of an answer

// False: Ctrl-C.
bool eval(pith::Session* session, std::span<const int32_t> tokens) {
  const pith::Result<void> result = session->try_eval(tokens);
  if (!result && result.error().status() != PITH_E_CANCELLED) pith::throw_failure(result.error());
  return result.has_value() && !interrupted;
}

void answer(const pith::Tokenizer& tokenizer, const pith::Chat& chat, pith::Session* session, pith::Sampler* sampler) {
  pith::TextStream stream(chat.stops());
  for (uint32_t i = 0; i < kMaxTokens; ++i) {
    const int32_t token = sampler->draw(session->logits());
    if (chat.is_end(token)) break;  // the next turn begins with the end that the template has
    std::cout << stream.push(tokenizer.decode(token)) << std::flush;
    if (stream.stopped() || !eval(session, {&token, 1})) break;
  }
  std::cout << stream.finish() << std::endl;
}

void talk(const std::string& path, const char* template_name) {
  const pith::Model model = pith::Model::open(path);
  const pith::Tokenizer tokenizer(model);
  pith_chat_options chat_options = pith::chat_options();
  chat_options.template_name = template_name;
  const pith::Chat chat(model, tokenizer, chat_options);
  pith_session_options options = pith::session_options();
  options.max_threads = pith::count_fast_cpus();
  options.n_keep = uint32_t(chat.encode(std::span<const pith::Message>(), 0).size());  // stays when the cache is full
  pith::Session session(model, options);
  pith::Sampler sampler(model.info().vocab_size);
  running = session.get();
  std::signal(SIGINT, [](int) {
    interrupted = 1;
    pith_session_cancel(running);
  });
  for (std::string line; std::cout << "> " << std::flush && std::getline(std::cin, line) && !line.empty();) {
    interrupted = 0;
    const uint64_t start = session.position();
    const uint32_t flags = PITH_CHAT_ANSWER | (start == 0 ? 0u : uint32_t(PITH_CHAT_AFTER_ANSWER));
    const std::vector<int32_t> tokens = chat.encode(pith::Message{PITH_ROLE_USER, line}, flags);
    for (const int32_t token : tokens) sampler.accept(token);
    if (eval(&session, tokens)) answer(tokenizer, chat, &session, &sampler);
    else if (!session.try_rewind(start)) session.reset();  // the question is taken back
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 3) return 2;
  talk(argv[1], argc == 3 ? argv[2] : nullptr);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "chat: " << error.what() << "\n";
  return 1;
}
