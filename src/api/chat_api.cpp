// The C ABI of chats: checks arguments once per call, then hands over.
#include "api/struct_sizes.h"
#include "ground/arena.h"
#include "ground/status.h"
#include "model/model.h"
#include "text/chat_template.h"

using namespace pith::internal;

namespace {

size_t chat_bytes() {
  Arena measure;
  measure.take<pith_chat>(1);
  return measure.used();
}

std::string_view text_or_nothing(const char* text) { return text == nullptr ? std::string_view() : text; }

pith_status check_flags(uint32_t flags, pith_error* error) {
  constexpr uint32_t kAll = PITH_CHAT_ANSWER | PITH_CHAT_AFTER_ANSWER | PITH_CHAT_NO_THOUGHT;
  if ((flags & ~kAll) != 0)
    return fail(error, PITH_E_ARGUMENT, "argument flags: ", flags, " has bits that are no pith_chat_flags");
  return PITH_OK;
}

pith_status read_options(const pith_chat_options* given, pith_chat_options* options, pith_error* error) {
  *options = {};
  if (given == nullptr) return PITH_OK;
  PITH_TRY(read_struct(given, options, error));
  if (options->reserved != 0) return fail(error, PITH_E_ARGUMENT, "option reserved: not 0");
  return PITH_OK;
}

}  // namespace

extern "C" {

void pith_chat_options_init(pith_chat_options* options, uint32_t struct_size) { init_struct(options, struct_size); }

const char* pith_chat_template_name(size_t index) {
  const ChatFamily* family = chat_family_at(index);
  return family == nullptr ? nullptr : family->name.data();  // of a literal
}

pith_status pith_chat_bytes(const pith_model* model, const pith_tokenizer* tokenizer, const pith_chat_options* options,
                            size_t* out_bytes, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"tokenizer", tokenizer}, {"out_bytes", out_bytes}}, error));
  pith_chat_options read;
  PITH_TRY(read_options(options, &read, error));
  *out_bytes = chat_bytes();
  return PITH_OK;
}

pith_status pith_chat_init(const pith_model* model, const pith_tokenizer* tokenizer, const pith_chat_options* options,
                           void* memory, size_t memory_bytes, pith_chat** out_chat, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"tokenizer", tokenizer}, {"out_chat", out_chat}}, error));
  pith_chat_options read;
  PITH_TRY(read_options(options, &read, error));
  PITH_TRY(check_memory("chat", memory, memory_bytes, chat_bytes(), error));
  pith_chat* chat = static_cast<pith_chat*>(memory);
  PITH_TRY(chat->chat.init(model->file, tokenizer->tokenizer, text_or_nothing(read.template_name),
                           text_or_nothing(read.date), error));
  *out_chat = chat;
  return PITH_OK;
}

const char* pith_chat_template(const pith_chat* chat) {
  return chat == nullptr ? "" : chat->chat.name().data();  // of a literal
}

int32_t pith_chat_is_end(const pith_chat* chat, int32_t token) {
  return chat != nullptr && chat->chat.is_end(token) ? 1 : 0;
}

const char* pith_chat_stop(const pith_chat* chat, size_t index) {
  return chat == nullptr ? nullptr : chat->chat.stop(index);
}

size_t pith_chat_work_bytes(const pith_chat* chat, const pith_message* messages, size_t n_messages, uint32_t flags) {
  if (chat == nullptr || (messages == nullptr && n_messages > 0) || check_flags(flags, nullptr) != PITH_OK) return 0;
  if (chat->chat.check(messages, n_messages, nullptr) != PITH_OK) return 0;
  return chat->chat.work_bytes(messages, n_messages, flags);
}

pith_status pith_chat_encode(const pith_chat* chat, const pith_message* messages, size_t n_messages, uint32_t flags,
                             int32_t* tokens, size_t capacity, size_t* out_count, void* work, size_t work_bytes,
                             pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"chat", chat}, {"out_count", out_count}, {"work", work}}, error));
  if (n_messages > 0) PITH_TRY(check_arguments({{"messages", messages}}, error));
  if (capacity > 0) PITH_TRY(check_arguments({{"tokens", tokens}}, error));
  PITH_TRY(check_flags(flags, error));
  PITH_TRY(chat->chat.check(messages, n_messages, error));
  const size_t need = chat->chat.work_bytes(messages, n_messages, flags);
  if (work_bytes < need)
    return fail(error, PITH_E_MEMORY, "argument work_bytes: these messages need ", uint64_t(need),
                " bytes of work memory, has ", uint64_t(work_bytes));
  int32_t missing = -1;
  *out_count = chat->chat.encode(messages, n_messages, flags, tokens, capacity, work, &missing);
  if (missing >= 0)
    return fail(error, PITH_E_ARGUMENT, "argument messages: the vocabulary has no token for the byte ", missing,
                ", and no unknown token");
  return check_capacity("this conversation, in tokens,", capacity, *out_count, error);
}

}  // extern "C"
