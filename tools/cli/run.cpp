// pith run: stream a text to standard output.
#include <cstdio>
#include <memory>
#include <optional>
#include <span>

#include <fmt/core.h>

#include "chat_options.h"
#include "commands.h"
#include "ctrl_c.h"
#include "drawing.h"
#include "output_file.h"
#include "prompt_cache.h"
#include "prompt_progress.h"
#include "run_state.h"
#include "speculation.h"
#include "standard_streams.h"
#include "text_tokens.h"
#include "token_logprobs.h"

namespace pith::cli {
namespace {

struct Report {
  size_t n_prompt = 0, n_cached = 0, n_drawn = 0;  // tokens; n_cached of the prompt were in a file
  uint64_t n_drafted = 0, n_accepted = 0;          // tokens that speculation has evaluated, and of these drawn
  double prompt_seconds = 0, decode_seconds = 0;
};

// Tokens of the prompt, of a text that begins here or goes on.
std::vector<int32_t> prompt_tokens(const RunOptions& options, const Model& model, const Session& session,
                                   const Tokenizer& tokenizer, const std::optional<Chat>& chat) {
  const std::string text = options.file.empty() ? options.prompt : read_file(options.file);
  const bool goes_on = !options.load_state.empty() && session.position() > 0;
  if (chat) return goes_on ? next_turn(*chat, options.chat, text) : first_turn(*chat, options.chat, text);
  const std::vector<int32_t> tokens =
      goes_on ? tokenizer.encode(text, PITH_ENCODE_NO_BOS) : tokens_of_beginning(model, tokenizer, text);
  if (goes_on) {
    if (tokens.empty() && session.logits().empty())
      throw std::runtime_error("option --load-state: this state was saved within a prompt; go on from it with -p");
    return tokens;
  }
  if (tokens.empty()) throw std::runtime_error("option -p: this model has no begin-of-text token; give it a prompt");
  return tokens;
}

// Where the text goes: at once to standard output, or into the JSON document. With --logprobs the tokens are shown in its
// place, a line of JSON for each as it is drawn, or they go into that document as well.
class Output {
 public:
  explicit Output(const RunOptions& options) : collects_(options.json), shows_tokens_(options.logprobs.has_value()) {}
  void write(const std::string& text) {
    text_ += text;
    if (!collects_ && !shows_tokens_) show(text);
  }
  void add(json::Document token) {
    if (collects_) tokens_.push_back(std::move(token));
    else show(token.dump() + "\n");
  }
  const std::string& text() const { return text_; }
  const json::Document& tokens() const { return tokens_; }

 private:
  static void show(const std::string& text) {
    if (text.empty()) return;
    write_output(text);
    flush_output();
  }

  bool collects_, shows_tokens_;
  std::string text_;
  json::Document tokens_ = json::Document::array();
};

// The file to be: what cannot be written is found before any text is drawn.
std::unique_ptr<OutputFile> state_file(const std::string& path) try {
  return path.empty() ? nullptr : std::make_unique<OutputFile>(path, Readers::owner);
} catch (const std::exception& error) {
  throw std::runtime_error(fmt::format("option --save-state: {}", error.what()));
}

// Where a text is: what the file of --save-state holds.
struct Run {
  uint32_t capacity;  // of the session, tokens
  Session session;
  Sampler sampler;
  TextStream stream;
};

void load(const RunOptions& options, const std::vector<std::string>& stops, Run* run) try {
  load_run_state(options.load_state, &run->session, &run->sampler, &run->stream);
  if (options.sampling.has_seed) run->sampler.set_seed(options.sampling.seed);
  if (run->stream.stopped()) run->stream = TextStream(stops);  // that text has ended; another begins
} catch (const std::exception& error) {
  throw std::runtime_error(fmt::format("option --load-state: {}", error.what()));
}

void save(OutputFile* file, Run* run) try {
  save_run_state(file, &run->session, run->sampler, run->stream);
} catch (const std::exception& error) {
  throw std::runtime_error(fmt::format("option --save-state: {}", error.what()));
}

Report generate(const RunOptions& options, const Model& model, Run* run, const Tokenizer& tokenizer,
                const std::optional<Chat>& chat, Constraint* constraint, PromptCache* cache, PromptProgress* progress,
                Output* output) {
  Report report;
  const std::vector<int32_t> prompt = prompt_tokens(options, model, run->session, tokenizer, chat);
  const uint64_t position = run->session.position();
  report.n_prompt = prompt.size();
  const uint64_t end = position + prompt.size(), capacity = run->capacity;
  if (end > capacity)
    tell("note: {} tokens, and a context of {}: the first {} are forgotten{}; a longer --context would hold them\n",
         end, capacity, end - capacity, options.session.keep > 0 ? " but for those of --keep" : "");
  const double start = seconds();
  report.n_cached = cache->load(prompt, &run->session);
  const std::span<const int32_t> unread = std::span(prompt).subspan(report.n_cached);
  progress->begin(unread.size());
  const bool is_whole = !CtrlC::was_pressed() && eval(&run->session, unread);
  progress->end();
  for (const int32_t token : std::span(prompt).first(size_t(run->session.position() - position)))
    run->sampler.accept(token);
  if (!is_whole) return report;
  cache->save(prompt, &run->session);
  if (!prompt.empty()) output->write(run->stream.finish());  // held back before the state was saved
  output->write(options.file.empty() && !chat ? options.prompt : std::string());
  const double prompt_end = seconds();
  report.prompt_seconds = prompt_end - start;
  Speculation text(model, &run->session, capacity, options.speculates ? Drafts::as_they_pay : Drafts::none);
  text.read(prompt);
  bool has_ended = false;
  while ((options.n_tokens == 0 || report.n_drawn < options.n_tokens) && !CtrlC::was_pressed() && is_output_open()) {
    const int32_t token = constraint->draw(&run->sampler, text.logits());
    ++report.n_drawn;
    if (options.logprobs) output->add(logprobs_document(tokenizer, text.logits(), token, *options.logprobs));
    const Taken taken = take(token, tokenizer, chat ? &*chat : nullptr, &run->stream);
    output->write(taken.text);
    has_ended = taken.is_last || constraint->is_done();
    if (has_ended) break;
    // A state holds every token that was shown: one that Ctrl-C cancelled gets a second try.
    if (!text.eval(token) && (options.save_state.empty() || !text.eval(token))) break;
  }
  // What may become a stop string or a character goes into the state, and comes out when the text goes on.
  if (has_ended || options.save_state.empty()) output->write(run->stream.finish());
  report.decode_seconds = seconds() - prompt_end;
  report.n_drafted = text.n_drafted();
  report.n_accepted = text.n_accepted();
  (void)text.settle();  // where Ctrl-C came before, the state lacks the last token
  if (constraint->is_cut_off()) tell("note: the text ends before it fits the grammar; -n asks for more tokens\n");
  return report;
}

double rate(size_t tokens, double duration) { return duration > 0 ? double(tokens) / duration : 0; }

std::string shown(const Report& r, const RunOptions& options, const Session& session) {
  return fmt::format(
      "\nmodel {} | tier {} | {} threads | session {:.2f} MB\n"
      "prompt {} tokens{}, {:.1f} tokens/s | text {} tokens{}, {:.1f} tokens/s | logits {}\n",
      options.model.name(), session.tier(), session.threads(), double(session.bytes()) / 1e6, r.n_prompt,
      r.n_cached > 0 ? fmt::format(", {} of them from the prompt cache", r.n_cached) : "",
      rate(r.n_prompt - r.n_cached, r.prompt_seconds), r.n_drawn,
      r.n_drafted > 0 ? fmt::format(" ({} of {} drafted)", r.n_accepted, r.n_drafted) : "",
      rate(r.n_drawn, r.decode_seconds), logits_hash(session.logits()));
}

}  // namespace

// Without a prompt the built-in model begins as tales do.
void run(RunOptions options) {
  const bool is_new = options.load_state.empty();
  if (options.asks && !options.has_prompt && options.file.empty())
    throw std::runtime_error("option --chat: give the question with -p or --file");
  if (options.constraint.is_given() && (!is_new || !options.save_state.empty()))
    throw std::runtime_error(
        "option --grammar, --json-schema: a state does not hold how much of the form is there; leave out "
        "--load-state and --save-state");
  if (is_new && !options.has_prompt && options.file.empty() && options.model.path.empty())
    options.prompt = "Once upon a time";
  const Model model = options.model.load_ahead();
  if (const uint32_t n = model.info().vocab_size; options.logprobs.value_or(0) > n)
    throw std::runtime_error(
        fmt::format("option --logprobs: {}, and the vocabulary has {} tokens", *options.logprobs, n));
  const Tokenizer tokenizer(model);
  std::optional<Chat> chat;
  if (options.asks) chat.emplace(make_chat(model, tokenizer, options.chat));
  const std::vector<std::string> stops = chat ? all_stops(*chat, options.sampling) : options.sampling.stops;
  Constraint constraint(options.constraint, tokenizer);
  pith_session_options resolved = options.session.resolve_for(model);
  PromptProgress progress(&resolved);
  Run run{resolved.capacity, Session(model, resolved), Sampler(model.info().vocab_size, options.sampling.resolve()),
          TextStream(stops)};
  const Session& session = run.session;
  PromptCache cache(options.prompt_cache, model, resolved);
  if (!is_new) load(options, stops, &run);
  const std::unique_ptr<OutputFile> file = state_file(options.save_state);
  Output output(options);
  const CtrlC ctrl_c(session);
  const Report r = generate(options, model, &run, tokenizer, chat, &constraint, &cache, &progress, &output);
  std::string report;  // for people
  if (options.json) {
    json::Document out = {{"model", options.model.name()},
                          {"tier", session.tier()},
                          {"threads", session.threads()},
                          {"text", output.text()},
                          {"prompt_tokens", r.n_prompt},
                          {"cached_prompt_tokens", r.n_cached},
                          {"tokens", r.n_drawn},
                          {"drafted_tokens", r.n_drafted},
                          {"accepted_tokens", r.n_accepted},
                          {"prompt_tokens_per_s", rate(r.n_prompt - r.n_cached, r.prompt_seconds)},
                          {"tokens_per_s", rate(r.n_drawn, r.decode_seconds)},
                          {"session_bytes", session.bytes()},
                          {"logits_hash", logits_hash(session.logits())}};
    if (options.logprobs) out["logprobs"] = output.tokens();
    print_json(out);
  } else {
    if (!options.logprobs) output.write("\n");
    report = shown(r, options, session);
  }
  if (file != nullptr) save(file.get(), &run);  // after all that may fail
  tell_text(report);
}

}  // namespace pith::cli
