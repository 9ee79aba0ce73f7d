// pith run: stream a text to standard output.
#include <csignal>
#include <cstdio>

#include <fmt/format.h>

#include "options.h"

namespace pith::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

struct RunOptions {
  ModelOption model;
  SessionOptions session;
  SamplingOptions sampling;
  std::string prompt, file;
  bool has_prompt = false;
  uint32_t n_tokens = 400;
  bool json = false;
};

struct Report {
  size_t n_prompt = 0, n_drawn = 0;
  double prompt_seconds = 0, decode_seconds = 0;
};

// Tokens of the prompt, led by the model's begin-of-text token where it has one.
std::vector<int32_t> prompt_tokens(const RunOptions& options, const Tokenizer& tokenizer) {
  const std::string text = options.file.empty() ? options.prompt : read_file(options.file);
  std::vector<int32_t> tokens = tokenizer.encode(text);
  if (tokenizer.bos() >= 0) tokens.insert(tokens.begin(), tokenizer.bos());
  if (tokens.empty()) throw std::runtime_error("option -p: this model has no begin-of-text token; give it a prompt");
  return tokens;
}

// Where the text goes: at once to standard output, or into the JSON document.
class Output {
 public:
  explicit Output(bool collects) : collects_(collects) {}
  void write(const std::string& text) {
    text_ += text;
    if (collects_ || text.empty()) return;
    is_open_ = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0 && is_open_;
  }
  bool is_open() const { return is_open_; }
  const std::string& text() const { return text_; }

 private:
  bool collects_, is_open_ = true;
  std::string text_;
};

Report generate(const RunOptions& options, Session* session, const Tokenizer& tokenizer, uint32_t vocab_size,
                Output* output) {
  Report report;
  Sampler sampler(vocab_size, options.sampling.values);
  TextStream stream(options.sampling.stops);
  const std::vector<int32_t> prompt = prompt_tokens(options, tokenizer);
  report.n_prompt = prompt.size();
  const double start = seconds();
  for (const int32_t token : prompt) {
    if (interrupted) return report;
    session->eval(token);
    sampler.accept(token);
  }
  output->write(options.file.empty() ? options.prompt : std::string());
  const double prompt_end = seconds();
  report.prompt_seconds = prompt_end - start;
  while ((options.n_tokens == 0 || report.n_drawn < options.n_tokens) && !interrupted && output->is_open()) {
    const int32_t token = sampler.draw(session->logits());
    ++report.n_drawn;
    if (token == tokenizer.eos()) break;
    output->write(stream.push(tokenizer.decode(token)));
    if (stream.stopped()) break;
    session->eval(token);
  }
  output->write(stream.finish());
  report.decode_seconds = seconds() - prompt_end;
  return report;
}

double rate(size_t tokens, double duration) { return duration > 0 ? double(tokens) / duration : 0; }

void print_report(const RunOptions& options, const Session& session, const Report& r) {
  fmt::print(stderr,
             "\nmodel {} | tier {} | {} threads | session {:.2f} MB\n"
             "prompt {} tokens, {:.1f} tokens/s | text {} tokens, {:.1f} tokens/s | logits {}\n",
             options.model.name(), pith_session_tier(session.get()), options.session.n_threads(),
             double(session.bytes()) / 1e6, r.n_prompt, rate(r.n_prompt, r.prompt_seconds), r.n_drawn,
             rate(r.n_drawn, r.decode_seconds), logits_hash(session.logits()));
}

// Without a prompt the built-in model begins as tales do.
void run(RunOptions options) {
  if (!options.has_prompt && options.file.empty() && options.model.path.empty()) options.prompt = "Once upon a time";
  const Model model = options.model.load();
  const Tokenizer tokenizer(model);
  Session session(model, options.session.resolve());
  std::signal(SIGINT, [](int) { interrupted = 1; });
  Output output(options.json);
  const Report r = generate(options, &session, tokenizer, model.info().vocab_size, &output);
  if (options.json) {
    print_json({{"model", options.model.name()},
                {"tier", pith_session_tier(session.get())},
                {"threads", options.session.n_threads()},
                {"text", output.text()},
                {"prompt_tokens", r.n_prompt},
                {"tokens", r.n_drawn},
                {"prompt_tokens_per_s", rate(r.n_prompt, r.prompt_seconds)},
                {"tokens_per_s", rate(r.n_drawn, r.decode_seconds)},
                {"session_bytes", session.bytes()},
                {"logits_hash", logits_hash(session.logits())}});
    return;
  }
  output.write("\n");
  print_report(options, session, r);
}

}  // namespace

void add_run(CLI::App* app, int*) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = app->add_subcommand("run", "Stream a text");
  options->model.add_to(command);
  options->session.add_to(command);
  options->sampling.add_to(command);
  CLI::Option* prompt = command->add_option("-p,--prompt", options->prompt, "Text to go on from");
  command->add_option("--file", options->file, "Read the prompt from a file; it is not echoed")->excludes(prompt);
  command->add_option("-n,--tokens", options->n_tokens, "Tokens to draw at most; 0: until the text ends")
      ->capture_default_str();
  command->add_flag("--json", options->json, "One JSON document instead of the text");
  command->callback([options, prompt] {
    options->has_prompt = prompt->count() > 0;
    run(*options);
  });
}

}  // namespace pith::cli
