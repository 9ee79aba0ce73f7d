// A conversation as token ids: the texts of its messages in the format of the model's family. Markers become the tokens
// of that name, the texts never do.
#ifndef PITH_TEXT_CHAT_TEMPLATE_H
#define PITH_TEXT_CHAT_TEMPLATE_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/model_file.h"
#include "text/chat_families.h"
#include "text/tokenizer.h"

namespace pith::internal {

class ChatScript;

class ChatTemplate {
 public:
  static constexpr size_t kMaxDate = 31;        // bytes
  static constexpr size_t kMaxText = 1u << 30;  // bytes of all messages

  // `name` of a family, or empty: that of the file's template. `date`: empty for that of the published templates.
  // The tokenizer and the file's bytes must outlive it.
  pith_status init(const ModelFile& file, const TextTokenizer& tokenizer, std::string_view name, std::string_view date,
                   pith_error* error);

  std::string_view name() const { return family_->name; }

  // Whether answers end with this token: all that end one in the vocabulary, and the family's own. Any number may be
  // asked.
  bool is_end(int32_t token) const;

  // The texts that end an answer where the vocabulary has no token for them, NUL-terminated; NULL past the end.
  const char* stop(size_t index) const;

  // Messages that no format has, such as a second one of the system.
  pith_status check(const pith_message* messages, size_t n_messages, pith_error* error) const;

  // Memory for encode(); SIZE_MAX for more text than kMaxText. `flags`: pith_chat_flags.
  size_t work_bytes(const pith_message* messages, size_t n_messages, uint32_t flags) const;

  // Writes at most `capacity` ids and returns how many there are. work: [work_bytes], any alignment.
  // *out_missing: the first byte that has no token, neither its own nor the unknown one; -1: all have.
  size_t encode(const pith_message* messages, size_t n_messages, uint32_t flags, int32_t* tokens, size_t capacity,
                void* work, int32_t* out_missing) const;

 private:
  pith_status choose(const ModelFile& file, std::string_view name, pith_error* error);
  void write(const pith_message* messages, size_t n_messages, uint32_t flags, ChatScript* out) const;
  void write_past_answer(std::string_view text, ChatScript* out) const;
  void write_last_answer(std::string_view text, bool is_last, ChatScript* out) const;
  void write_default_system(ChatScript* out) const;
  void find_marks();
  bool asks_nothing(const pith_message* messages, size_t n_messages) const;
  Reading reading(uint32_t flags) const;
  static size_t asked(const pith_message* messages, size_t n_messages);
  const ChatFormat& format_of(const pith_message& message, bool is_first) const;
  std::string_view trimmed(const pith_message& message) const;
  std::string_view trimmed_end(const pith_message& message) const;

  // Tokens that no message makes: begin and end of text, the family's ends, and its marks, but those of thoughts.
  static constexpr size_t kMaxMarks = 2 + 2 * ChatFamily::kMaxTexts;

  const TextTokenizer* tokenizer_ = nullptr;
  const ChatFamily* family_ = nullptr;
  std::string_view default_system_;  // a literal with escapes, or plain
  bool has_default_system_ = false, has_escapes_ = false;
  bool has_bos_ = false;
  char date_[kMaxDate + 1] = {};
  int32_t ends_[ChatFamily::kMaxTexts] = {};  // tokens of the family's ends; -1: none
  int32_t marks_[kMaxMarks] = {};
};

// White space off both ends, as Python's str.strip() takes it.
std::string_view strip(std::string_view text);

}  // namespace pith::internal

struct pith_chat {
  pith::internal::ChatTemplate chat;
};

#endif
