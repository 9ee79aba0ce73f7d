#include "token_logprobs.h"
#include "shortest.h"

namespace pith::cli {
namespace {

json::Document document_of(const Tokenizer& tokenizer, int32_t token, float logprob) {
  json::Document bytes;
  const std::string_view text = tokenizer.decode(token);
  if (!tokenizer.is_special(token)) {
    bytes = json::Document::array();
    for (const char byte : text) bytes.push_back(uint32_t(uint8_t(byte)));
  }
  json::Document out;
  out.add("token", tokenizer.token_text(token));
  out.add("id", token);
  out.add("logprob", shortest(logprob));
  out.add("bytes", bytes);
  return out;
}

}  // namespace

json::Document logprobs_document(const Tokenizer& tokenizer, std::span<const float> logits, int32_t token, uint32_t k) {
  const Logprobs found = logprobs(logits, token, k);
  json::Document out = document_of(tokenizer, token, found.logprob), top = json::Document::array();
  for (const pith_logprob& one : found.top) top.push_back(document_of(tokenizer, one.token, one.logprob));
  out.add("top_logprobs", top);
  return out;
}

}  // namespace pith::cli
