// The families of chat templates that the library renders by hand: what stands around the texts of a conversation, and
// by what the template of a file is recognised. Nothing of a file's template is ever run.
#ifndef PITH_TEXT_CHAT_FAMILIES_H
#define PITH_TEXT_CHAT_FAMILIES_H

#include <cstdint>
#include <string_view>

#include "ground/status.h"
#include "text/characters.h"

namespace pith::internal {

// In the texts of a format: the token of that meaning, or the date of pith_chat_options.
constexpr char kBos = '\1', kEos = '\2', kDate = '\3';

// What stands around a message.
struct ChatFormat {
  std::string_view before, after;
};

enum class ChatBos : uint8_t { by_file, always, in_formats };  // by_file: as its template and add_bos_token say
enum class ChatTrim : uint8_t { nothing, all, but_system };    // white space off both ends of a message

// What of a thought before </think> stays in the answers of a conversation.
enum class ChatThoughts : uint8_t {
  stay,
  go,                // all up to the last </think>
  last_stays,        // of an answer that nobody has asked anything after; it has <think> tags in any case
  last_stays_if_any  // the same, without tags where there is no thought
};

struct ChatFamily {
  static constexpr size_t kMaxTexts = 6;
  using Texts = std::string_view[kMaxTexts];  // the first empty one ends them

  std::string_view name;
  Texts markers;  // what is one token, where the vocabulary has it as one
  Texts ends;     // markers that end an answer, beside the file's end-of-text token
  ChatBos bos = ChatBos::by_file;
  std::string_view lead;    // before everything
  ChatFormat first_system;  // of a first message that is the system's
  ChatFormat system;        // of later ones; the same as first_system if both are empty
  ChatFormat user, assistant;
  std::string_view answer;               // what an answer of the model follows
  std::string_view unthinking;           // after it, so that the model does not think; empty: there is no such thing
  const char* default_system = nullptr;  // the first message where that is no system's; NULL: none
  bool takes_later_systems = true;
  bool merges_system = false;  // first_system ends within a user's message, which begins without `before`
  bool skips_empty = false;    // messages without content are left out
  ChatTrim trim = ChatTrim::nothing;
  ChatThoughts thoughts = ChatThoughts::stay;

  // What a template of this family has, and what it must not have: code as JinjaCode reads it, or `text:` and the text.
  Texts has, lacks;
};

// Families by number; NULL past the end.
const ChatFamily* chat_family_at(size_t index);

// NULL: no such name.
const ChatFamily* find_chat_family(std::string_view name);

// Published templates have up to 20,000 bytes; longer ones than this are of no family.
constexpr size_t kMaxChatTemplate = 1u << 20;

// The family of a file's template; NULL: none that is known.
const ChatFamily* recognise_chat_family(std::string_view chat_template);

// The system message that a ChatML template has for conversations without one, as its literal spells it, with escapes;
// data() is NULL: it has none.
std::string_view default_system_of(std::string_view chat_template);

// Whether a template has a piece of code: white space between the words of code does not count, nor which quotes
// literals have, nor whether it says message['role'] or message.role. In literals a line feed is \n.
bool has_code(std::string_view chat_template, std::string_view code);

// All names, with commas, for sentences: at most kMaxFamilyNames bytes.
constexpr size_t kMaxFamilyNames = 192;
std::string_view chat_family_names(char (&out)[kMaxFamilyNames]);

}  // namespace pith::internal

#endif
