#include "text/chat_template.h"

#include <algorithm>
#include <cstring>
#include <iterator>

namespace pith::internal {
namespace {

constexpr const char* kTemplateKey = "tokenizer.chat_template";
constexpr std::string_view kPublishedDate = "26 Jul 2024";  // where a program of Llama 3.1's template knows no date
constexpr std::string_view kThoughtEnd = "</think>", kThoughtBegin = "<think>";

// Bytes of the white space that a text begins or ends with; 0: none.
size_t space_at_start(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? uint8_t(text[i]) : uint8_t(0); };
  const uint8_t a = byte(0), b = byte(1), c = byte(2);
  if ((a >= 9 && a <= 13) || (a >= 28 && a <= 32)) return 1;
  if (a == 0xc2) return b == 0x85 || b == 0xa0 ? 2 : 0;
  const bool is_space = (a == 0xe1 && b == 0x9a && c == 0x80) ||  // U+1680
                        (a == 0xe2 && b == 0x80 &&
                         ((c >= 0x80 && c <= 0x8a) ||               // U+2000 .. 200A
                          c == 0xa8 || c == 0xa9 || c == 0xaf)) ||  // U+2028, 2029, 202F
                        (a == 0xe2 && b == 0x81 && c == 0x9f) ||
                        (a == 0xe3 && b == 0x80 && c == 0x80);  // U+205F, 3000
  return is_space ? 3 : 0;
}

size_t space_at_end(std::string_view text) {
  for (size_t n = 1; n <= 3 && n <= text.size(); ++n) {
    if (space_at_start(from(text, text.size() - n)) == n) return n;
  }
  return 0;
}

std::string_view strip_end(std::string_view text) {
  while (const size_t n = space_at_end(text)) text.remove_suffix(n);
  return text;
}

std::string_view without_line_feeds(std::string_view text) {
  while (!text.empty() && text.front() == '\n') text.remove_prefix(1);
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

// An answer's thought and what follows it, as the templates of Qwen3 take them apart.
struct Thought {
  std::string_view thought, answer;
  explicit Thought(std::string_view text) : answer(text) {
    const size_t first = text.find(kThoughtEnd);
    if (first == std::string_view::npos) return;
    answer = from(text, text.rfind(kThoughtEnd) + kThoughtEnd.size());
    while (!answer.empty() && answer.front() == '\n') answer.remove_prefix(1);
    thought = text.substr(0, first);
    const size_t begin = thought.rfind(kThoughtBegin);
    if (begin != std::string_view::npos) thought.remove_prefix(begin + kThoughtBegin.size());
    thought = without_line_feeds(thought);
  }
};

bool is_role(const pith_message& message, pith_role role) { return message.role == uint32_t(role); }

std::string_view text_of(const pith_message& message) { return {message.content, message.content_bytes}; }

}  // namespace

std::string_view strip(std::string_view text) {
  while (const size_t n = space_at_start(text)) text.remove_prefix(n);
  return strip_end(text);
}

// Takes a conversation piece by piece: tokens as they come, and the texts between two of them as one, as a tokenizer
// sees them. Without memory it measures.
class ChatScript {
 public:
  // `reading`: of what it begins with.
  ChatScript(const TextTokenizer& tokenizer, const ChatFamily& family, std::string_view date, const Reading& reading)
      : tokenizer_(tokenizer), family_(family), date_(date), reading_(reading) {}
  ChatScript(const ChatScript& measured, int32_t* tokens, size_t capacity, void* work)
      : tokenizer_(measured.tokenizer_),
        family_(measured.family_),
        date_(measured.date_),
        reading_(measured.reading_),
        tokens_(tokens),
        capacity_(capacity),
        run_(static_cast<char*>(work)),
        work_(run_ + measured.longest_) {}

  // Of a user's: never a token by its name.
  void text(std::string_view bytes) {
    if (run_ != nullptr && !bytes.empty()) std::memcpy(run_ + n_run_, bytes.data(), bytes.size());
    n_run_ += bytes.size();
    longest_ = std::max(longest_, n_run_);
  }
  // Of the family's.
  void format(std::string_view bytes) {
    size_t start = 0;
    for (size_t i = 0; i < bytes.size();) {
      const std::string_view marker = marker_at(from(bytes, i));
      const bool is_placeholder = bytes[i] == kBos || bytes[i] == kEos || bytes[i] == kDate;
      if (marker.empty() && !is_placeholder) {
        ++i;
        continue;
      }
      text(from(bytes, start).substr(0, i - start));
      if (is_placeholder) placeholder(bytes[i]);
      else token(tokenizer_.added_id(marker));
      start = i += is_placeholder ? 1 : marker.size();
    }
    text(from(bytes, start));
  }
  // None for -1.
  void token(int32_t id) {
    if (id < 0) return;
    end_run();
    if (count_ < capacity_ && tokens_ != nullptr) tokens_[count_] = id;
    ++count_;
  }
  void end_run() {
    if (run_ != nullptr && n_run_ > 0) {
      const size_t used = std::min(count_, capacity_);
      if (count_ > 0) reading_.place = Place::at_start;
      size_t missing = SIZE_MAX;
      count_ += tokenizer_.encode({run_, n_run_}, tokens_ + used, capacity_ - used, work_, reading_, &missing);
      if (missing < n_run_ && missing_ < 0) missing_ = uint8_t(run_[missing]);
    }
    n_run_ = 0;
  }

  size_t count() const { return count_; }
  size_t longest() const { return longest_; }   // bytes of the longest run
  int32_t missing() const { return missing_; }  // the first byte without a token; -1: none

 private:
  void placeholder(char which) {
    if (which == kDate) text(date_);
    else token(which == kBos ? tokenizer_.bos() : tokenizer_.eos());
  }
  // The marker that bytes begin with, if it is a token.
  std::string_view marker_at(std::string_view bytes) const {
    for (const std::string_view marker : family_.markers) {
      if (!marker.empty() && bytes.substr(0, marker.size()) == marker && tokenizer_.added_id(marker) >= 0)
        return marker;
    }
    return {};
  }

  const TextTokenizer& tokenizer_;
  const ChatFamily& family_;
  std::string_view date_;
  Reading reading_;
  int32_t* tokens_ = nullptr;
  size_t capacity_ = 0, count_ = 0;
  char* run_ = nullptr;  // [longest] the text since the last token
  size_t n_run_ = 0, longest_ = 0;
  char* work_ = nullptr;  // the tokenizer's
  int32_t missing_ = -1;
};

pith_status ChatTemplate::init(const ModelFile& file, const TextTokenizer& tokenizer, std::string_view name,
                               std::string_view date, pith_error* error) {
  *this = ChatTemplate();
  tokenizer_ = &tokenizer;
  if (date.size() > kMaxDate)
    return fail(error, PITH_E_ARGUMENT, "option date: ", uint64_t(date.size()), " bytes are more than ",
                uint64_t(kMaxDate));
  if (date.empty()) date = kPublishedDate;
  std::memcpy(date_, date.data(), date.size());
  PITH_TRY(choose(file, name, error));
  for (size_t i = 0; i < ChatFamily::kMaxTexts; ++i)
    ends_[i] = family_->ends[i].empty() ? -1 : tokenizer.added_id(family_->ends[i]);
  find_marks();
  return PITH_OK;
}

void ChatTemplate::find_marks() {
  int32_t* out = marks_;
  *out++ = tokenizer_->bos();
  *out++ = tokenizer_->eos();
  out = std::copy(std::begin(ends_), std::end(ends_), out);
  for (const std::string_view mark : family_->markers) {
    const bool is_mark = !mark.empty() && mark != kThoughtBegin && mark != kThoughtEnd;
    *out++ = is_mark ? tokenizer_->added_id(mark) : -1;
  }
}

// An answer that the session holds stands before what is written with PITH_CHAT_AFTER_ANSWER.
Reading ChatTemplate::reading(uint32_t flags) const {
  const bool goes_on = (flags & PITH_CHAT_AFTER_ANSWER) != 0;
  return {Specials::are_text, goes_on ? Place::within : Place::at_start, marks_, kMaxMarks};
}

pith_status ChatTemplate::choose(const ModelFile& file, std::string_view name, pith_error* error) {
  char list[kMaxFamilyNames];
  std::string_view source;
  bool has_source = false;
  PITH_TRY(file.get_string(kTemplateKey, &source, &has_source, error));
  family_ = name.empty() ? recognise_chat_family(source) : find_chat_family(name);
  if (family_ == nullptr && !name.empty())
    return fail(error, PITH_E_ARGUMENT, "option template_name: \"", name, "\" is none of ", chat_family_names(list));
  if (family_ == nullptr)
    return fail(error, has_source ? PITH_E_UNSUPPORTED : PITH_E_MISSING, "key ", kTemplateKey, ": ",
                has_source ? "unknown" : "missing", "; choose a template: ", chat_family_names(list));
  const bool says_bos = name.empty() && source.find("bos_token") != std::string_view::npos;
  has_bos_ =
      family_->bos == ChatBos::always || (family_->bos == ChatBos::by_file && (says_bos || tokenizer_->adds_bos()));
  if (family_->default_system != nullptr) {
    default_system_ = family_->default_system;
    has_default_system_ = true;
  } else if (name.empty() && family_->system.before.substr(0, 12) == "<|im_start|>") {
    default_system_ = default_system_of(source);
    has_default_system_ = has_escapes_ = default_system_.data() != nullptr;
  }
  return PITH_OK;
}

bool ChatTemplate::is_end(int32_t token) const {
  if (token < 0 || token >= tokenizer_->n_tokens()) return false;
  return tokenizer_->is_end(token) || std::find(std::begin(ends_), std::end(ends_), token) != std::end(ends_);
}

const char* ChatTemplate::stop(size_t index) const {
  for (const std::string_view name : family_->ends) {
    if (name.empty() || tokenizer_->added_id(name) >= 0) continue;
    if (index-- == 0) return name.data();  // of a literal
  }
  return nullptr;
}

pith_status ChatTemplate::check(const pith_message* messages, size_t n_messages, pith_error* error) const {
  uint64_t total = 0;
  for (size_t i = 0; i < n_messages; ++i) {
    const pith_message& m = messages[i];
    if (m.role > uint32_t(PITH_ROLE_ASSISTANT))
      return fail(error, PITH_E_ARGUMENT, "argument messages: role ", m.role, " of message ", uint64_t(i),
                  " is no pith_role");
    if (m.reserved != 0)
      return fail(error, PITH_E_ARGUMENT, "argument messages: reserved of message ", uint64_t(i), " is not 0");
    if (m.content == nullptr && m.content_bytes > 0)
      return fail(error, PITH_E_ARGUMENT, "argument messages: content of message ", uint64_t(i), " is NULL");
    if (is_role(m, PITH_ROLE_SYSTEM) && i > 0 && !family_->takes_later_systems)
      return fail(error, PITH_E_ARGUMENT, "argument messages: message ", uint64_t(i), " is of the system; template ",
                  family_->name, " takes such a one as the first alone");
    total += m.content_bytes;
    if (m.content_bytes > kMaxText || total > kMaxText)
      return fail(error, PITH_E_ARGUMENT, "argument messages: more than 1 GiB of text");
  }
  return PITH_OK;
}

size_t ChatTemplate::work_bytes(const pith_message* messages, size_t n_messages, uint32_t flags) const {
  ChatScript script(*tokenizer_, *family_, date_, reading(flags));
  write(messages, n_messages, flags, &script);
  if (script.longest() > kMaxText) return SIZE_MAX;
  const size_t work = TextTokenizer::work_bytes(script.longest());
  return work > SIZE_MAX - script.longest() ? SIZE_MAX : script.longest() + work;
}

size_t ChatTemplate::encode(const pith_message* messages, size_t n_messages, uint32_t flags, int32_t* tokens,
                            size_t capacity, void* work, int32_t* out_missing) const {
  ChatScript measured(*tokenizer_, *family_, date_, reading(flags));
  write(messages, n_messages, flags, &measured);
  ChatScript script(measured, tokens, capacity, work);
  write(messages, n_messages, flags, &script);
  script.end_run();
  *out_missing = script.missing();
  return script.count();
}

void ChatTemplate::write(const pith_message* messages, size_t n_messages, uint32_t flags, ChatScript* out) const {
  const bool goes_on = (flags & PITH_CHAT_AFTER_ANSWER) != 0;
  if (goes_on) {
    out->format(family_->assistant.after);
  } else {
    if (has_bos_) out->token(tokenizer_->bos());
    out->format(family_->lead);
    if (has_default_system_ && (n_messages == 0 || !is_role(messages[0], PITH_ROLE_SYSTEM))) write_default_system(out);
  }
  const size_t n_asked = asked(messages, n_messages);
  for (size_t i = 0; i < n_messages; ++i) {
    const pith_message& m = messages[i];
    if (m.content_bytes == 0 && family_->skips_empty) continue;
    const ChatFormat& format = format_of(m, i == 0 && !goes_on);
    const bool is_merged = family_->merges_system && !goes_on && i == 1 && is_role(messages[0], PITH_ROLE_SYSTEM);
    const bool is_begun = is_merged && is_role(m, PITH_ROLE_USER);
    if (!is_begun) out->format(format.before);
    if (!is_role(m, PITH_ROLE_ASSISTANT)) out->text(is_begun ? trimmed_end(m) : trimmed(m));
    else if (i < n_asked) write_past_answer(trimmed(m), out);
    else write_last_answer(trimmed(m), i + 1 == n_messages, out);
    const bool is_blank =
        family_->merges_system && i == 0 && is_role(m, PITH_ROLE_SYSTEM) && asks_nothing(messages, n_messages);
    out->format(is_blank ? strip_end(format.after) : format.after);
  }
  if ((flags & PITH_CHAT_ANSWER) != 0) {
    out->format(family_->answer);
    if ((flags & PITH_CHAT_NO_THOUGHT) != 0) out->format(family_->unthinking);
  }
}

// Whether a question of white space alone follows the first message, in one turn that is trimmed as a whole.
bool ChatTemplate::asks_nothing(const pith_message* messages, size_t n_messages) const {
  return n_messages > 1 && family_->trim != ChatTrim::nothing && is_role(messages[1], PITH_ROLE_USER) &&
         trimmed_end(messages[1]).empty();
}

// How many messages stand up to the last question; all, if there is none.
size_t ChatTemplate::asked(const pith_message* messages, size_t n_messages) {
  for (size_t i = n_messages; i > 0; --i) {
    if (is_role(messages[i - 1], PITH_ROLE_USER)) return i;
  }
  return n_messages;
}

const ChatFormat& ChatTemplate::format_of(const pith_message& message, bool is_first) const {
  if (is_role(message, PITH_ROLE_USER)) return family_->user;
  if (is_role(message, PITH_ROLE_ASSISTANT)) return family_->assistant;
  const bool is_same = family_->system.before.empty() && family_->system.after.empty();
  return is_first || is_same ? family_->first_system : family_->system;
}

std::string_view ChatTemplate::trimmed(const pith_message& message) const {
  const bool is_trimmed =
      family_->trim == ChatTrim::all || (family_->trim == ChatTrim::but_system && !is_role(message, PITH_ROLE_SYSTEM));
  return is_trimmed ? strip(text_of(message)) : text_of(message);
}

// A question that the system's message stands before, in one turn.
std::string_view ChatTemplate::trimmed_end(const pith_message& message) const {
  return family_->trim == ChatTrim::nothing ? text_of(message) : strip_end(text_of(message));
}

void ChatTemplate::write_past_answer(std::string_view text, ChatScript* out) const {
  switch (family_->thoughts) {
    case ChatThoughts::stay: return out->text(text);
    case ChatThoughts::go: {
      const size_t end = text.rfind(kThoughtEnd);
      return out->text(end == std::string_view::npos ? text : from(text, end + kThoughtEnd.size()));
    }
    default: return out->text(Thought(text).answer);
  }
}

// Of an answer that no question follows. `is_last`: no other message either.
void ChatTemplate::write_last_answer(std::string_view text, bool is_last, ChatScript* out) const {
  const ChatThoughts thoughts = family_->thoughts;
  if (thoughts == ChatThoughts::stay || thoughts == ChatThoughts::go) return write_past_answer(text, out);
  const Thought parts(text);
  if (parts.thought.empty() && (thoughts == ChatThoughts::last_stays_if_any || !is_last))
    return out->text(parts.answer);
  std::string_view answer = parts.answer;
  while (!answer.empty() && answer.front() == '\n') answer.remove_prefix(1);
  out->format("<think>\n");
  out->text(parts.thought);
  out->format("\n</think>\n\n");
  out->text(answer);
}

void ChatTemplate::write_default_system(ChatScript* out) const {
  out->format(family_->first_system.before);
  std::string_view rest = default_system_;
  while (has_escapes_ && rest.find('\\') < rest.size() - 1 && !rest.empty()) {
    const size_t at = rest.find('\\');
    out->text(rest.substr(0, at));
    const char c = rest[at + 1];
    const char meant = c == 'n' ? '\n' : c == 't' ? '\t' : c;
    out->text({&meant, 1});
    rest.remove_prefix(at + 2);
  }
  out->text(rest);
  out->format(family_->first_system.after);
}

}  // namespace pith::internal
