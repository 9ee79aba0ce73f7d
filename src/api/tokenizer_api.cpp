// The C ABI of tokenizers: checks arguments once per call, then hands over.
#include "ground/status.h"
#include "model/model.h"
#include "text/tokenizer.h"

using namespace pith::internal;

namespace {

pith_status check_flags(const TextTokenizer& tokenizer, uint32_t flags, bool* out_bos, pith_error* error) {
  constexpr uint32_t kAll = PITH_ENCODE_BOS | PITH_ENCODE_NO_BOS | PITH_ENCODE_SPECIALS;
  if ((flags & ~kAll) != 0)
    return fail(error, PITH_E_ARGUMENT, "argument flags: ", flags, " has bits that are no pith_encode_flags");
  const bool wants = (flags & PITH_ENCODE_BOS) != 0, refuses = (flags & PITH_ENCODE_NO_BOS) != 0;
  if (wants && refuses)
    return fail(error, PITH_E_ARGUMENT, "argument flags: PITH_ENCODE_BOS and PITH_ENCODE_NO_BOS at once; choose one");
  if (wants && tokenizer.bos() < 0)
    return fail(error, PITH_E_MISSING,
                "argument flags: PITH_ENCODE_BOS, but the model has no key tokenizer.ggml.bos_token_id");
  *out_bos = wants || (!refuses && tokenizer.adds_bos());
  return PITH_OK;
}

bool is_token(const pith_tokenizer* tokenizer, int32_t token) {
  return tokenizer != nullptr && token >= 0 && token < tokenizer->tokenizer.n_tokens();
}

pith_status check_token(const pith_tokenizer* tokenizer, int32_t token, const char** out_text, size_t* out_bytes,
                        pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"tokenizer", tokenizer}, {"out_text", out_text}, {"out_bytes", out_bytes}}, error));
  if (is_token(tokenizer, token)) return PITH_OK;
  return fail(error, PITH_E_ARGUMENT, "argument token: ", token, " is not within 0 .. ",
              tokenizer->tokenizer.n_tokens() - 1);
}

void hand_out(std::string_view text, const char** out_text, size_t* out_bytes) {
  *out_text = text.data();
  *out_bytes = text.size();
}

}  // namespace

extern "C" {

pith_status pith_tokenizer_bytes(const pith_model* model, size_t* out_bytes, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_bytes", out_bytes}}, error));
  return TextTokenizer::bytes(model->file, out_bytes, error);
}

pith_status pith_tokenizer_init(const pith_model* model, void* memory, size_t memory_bytes,
                                pith_tokenizer** out_tokenizer, pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"model", model}, {"out_tokenizer", out_tokenizer}}, error));
  size_t need = 0;
  PITH_TRY(TextTokenizer::bytes(model->file, &need, error));
  PITH_TRY(check_memory("tokenizer", memory, memory_bytes, need, error));
  pith_tokenizer* tokenizer = static_cast<pith_tokenizer*>(memory);
  PITH_TRY(tokenizer->tokenizer.init(model->file, memory, error));
  *out_tokenizer = tokenizer;
  return PITH_OK;
}

int32_t pith_tokenizer_bos(const pith_tokenizer* tokenizer) {
  return tokenizer == nullptr ? -1 : tokenizer->tokenizer.bos();
}

int32_t pith_tokenizer_eos(const pith_tokenizer* tokenizer) {
  return tokenizer == nullptr ? -1 : tokenizer->tokenizer.eos();
}

int32_t pith_tokenizer_is_end(const pith_tokenizer* tokenizer, int32_t token) {
  return is_token(tokenizer, token) && tokenizer->tokenizer.is_end(token) ? 1 : 0;
}

int32_t pith_tokenizer_is_special(const pith_tokenizer* tokenizer, int32_t token) {
  return is_token(tokenizer, token) && tokenizer->tokenizer.is_special(token) ? 1 : 0;
}

int32_t pith_tokenizer_token_id(const pith_tokenizer* tokenizer, const char* text, size_t text_bytes) {
  return tokenizer == nullptr || text == nullptr ? -1 : tokenizer->tokenizer.token_id({text, text_bytes});
}

size_t pith_tokenizer_work_bytes(size_t text_bytes) { return TextTokenizer::work_bytes(text_bytes); }

pith_status pith_tokenizer_encode(const pith_tokenizer* tokenizer, const char* text, size_t text_bytes, uint32_t flags,
                                  int32_t* tokens, size_t capacity, size_t* out_count, void* work, size_t work_bytes,
                                  pith_error* error) {
  clear(error);
  PITH_TRY(check_arguments({{"tokenizer", tokenizer}, {"out_count", out_count}}, error));
  if (text_bytes > 0) PITH_TRY(check_arguments({{"text", text}, {"work", work}}, error));
  if (capacity > 0) PITH_TRY(check_arguments({{"tokens", tokens}}, error));
  if (text_bytes > TextTokenizer::kMaxText)
    return fail(error, PITH_E_ARGUMENT, "argument text_bytes: ", uint64_t(text_bytes),
                " are more than 1 GiB; encode the text in parts");
  const TextTokenizer& t = tokenizer->tokenizer;
  bool has_bos = false;
  PITH_TRY(check_flags(t, flags, &has_bos, error));
  const size_t need = TextTokenizer::work_bytes(text_bytes);
  if (work_bytes < need)
    return fail(error, PITH_E_MEMORY, "argument work_bytes: a text of ", uint64_t(text_bytes), " bytes needs ",
                uint64_t(need), " bytes of work memory, has ", uint64_t(work_bytes));
  const size_t first = has_bos ? 1 : 0, is_seen = first < capacity ? first : capacity;
  if (is_seen == 1) tokens[0] = t.bos();
  Reading reading;
  if ((flags & PITH_ENCODE_SPECIALS) != 0) reading.specials = Specials::are_found;
  size_t missing = 0;
  *out_count = first + t.encode({text, text_bytes}, tokens + is_seen, capacity - is_seen, work, reading, &missing);
  if (missing < text_bytes)
    return fail(error, PITH_E_ARGUMENT, "argument text: the vocabulary has no token for the byte ",
                int32_t(uint8_t(text[missing])), ", which is at ", uint64_t(missing), ", and no unknown token");
  return check_capacity("this text, in tokens,", capacity, *out_count, error);
}

pith_status pith_tokenizer_decode(const pith_tokenizer* tokenizer, int32_t token, const char** out_text,
                                  size_t* out_bytes, pith_error* error) {
  PITH_TRY(check_token(tokenizer, token, out_text, out_bytes, error));
  hand_out(tokenizer->tokenizer.decode(token), out_text, out_bytes);
  return PITH_OK;
}

pith_status pith_tokenizer_token_text(const pith_tokenizer* tokenizer, int32_t token, const char** out_text,
                                      size_t* out_bytes, pith_error* error) {
  PITH_TRY(check_token(tokenizer, token, out_text, out_bytes, error));
  hand_out(tokenizer->tokenizer.text(token), out_text, out_bytes);
  return PITH_OK;
}

}  // extern "C"
