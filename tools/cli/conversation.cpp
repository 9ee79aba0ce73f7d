#include "conversation.h"

#include "ctrl_c.h"
#include "drawing.h"
#include "output_file.h"
#include "run_state.h"

namespace pith::cli {
namespace {

pith_session_options with_pinned(pith_session_options options, size_t n_pinned) {
  if (options.n_keep < n_pinned) options.n_keep = uint32_t(n_pinned);
  return options;
}

}  // namespace

Conversation::Conversation(const ChatOptions& options)
    : options_(options),
      model_(options.model.load_ahead()),
      tokenizer_(model_),
      chat_(make_chat(model_, tokenizer_, options.chat)),
      resolved_(with_pinned(options.session.resolve_for(model_), lead(chat_, options.chat).size())),
      progress_(&resolved_),
      session_(model_, resolved_),
      text_(model_, &session_, resolved_.capacity, options.speculates ? Drafts::as_they_pay : Drafts::none),
      sampler_(model_.info().vocab_size, options.sampling.resolve()),
      constraint_(options.constraint, tokenizer_) {}

void Conversation::ask(const std::string& text, const Show& show) {
  CtrlC::forget();
  const CtrlC ctrl_c(session_);
  const uint64_t start = session_.position();
  if (!read(start == 0 ? first_turn(chat_, options_.chat, text) : next_turn(chat_, options_.chat, text))) {
    // The question is taken back, or where its tokens have pushed others out, all.
    if (!session_.try_rewind(start)) reset();
    return;
  }
  try {
    answer(show);
  } catch (...) {
    text_.take_back();
    throw;
  }
}

bool Conversation::read(const std::vector<int32_t>& tokens) {
  progress_.begin(tokens.size());
  const bool is_whole = eval(&session_, tokens) && !CtrlC::was_pressed();
  progress_.end();
  if (is_whole) {
    for (const int32_t token : tokens) sampler_.accept(token);
    text_.read(tokens);
  }
  return is_whole;
}

void Conversation::answer(const Show& show) {
  TextStream stream(all_stops(chat_, options_.sampling));
  constraint_.reset();
  uint64_t shown = text_.position();  // the session holds what was shown up to here
  for (uint32_t n = 0; (options_.n_tokens == 0 || n < options_.n_tokens) && !CtrlC::was_pressed(); ++n) {
    const int32_t token = constraint_.draw(&sampler_, text_.logits());
    const Taken taken = take(token, tokenizer_, &chat_, &stream);
    if (!taken.text.empty() && !show(taken.text)) break;
    if (taken.is_last || !text_.eval(token) || CtrlC::was_pressed()) break;
    if (!taken.text.empty()) shown = text_.position();
    if (constraint_.is_done()) break;
  }
  (void)text_.settle();
  // What the model had begun of a stop string is taken back, if the ring still has what it pushed out.
  if (stream.stopped()) (void)session_.try_rewind(shown);
  else show(stream.finish());
}

void Conversation::reset() {
  text_.forget();
  session_.reset();
}

void Conversation::save(const std::string& path) {
  OutputFile file(path, Readers::owner);
  save_run_state(&file, &session_, sampler_, TextStream(std::vector<std::string>()));
}

void Conversation::load(const std::string& path) {
  const std::vector<uint8_t> session = session_.save(), sampler = sampler_.save();
  try {
    TextStream stream{std::vector<std::string>()};
    load_run_state(path, &session_, &sampler_, &stream);
  } catch (...) {
    session_.restore(session);
    sampler_.restore(sampler);
    throw;
  }
}

}  // namespace pith::cli
