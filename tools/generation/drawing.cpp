#include "drawing.h"

#include <utility>

namespace pith {

bool leads_with_bos(const Model& model, const Tokenizer& tokenizer) {
  const Result<pith_metadata> key = model.try_find_metadata("tokenizer.ggml.add_bos_token");
  return tokenizer.bos() >= 0 && (!key.has_value() || key->uint_value != 0);
}

int32_t draw(Sampler* sampler, std::span<const float> logits, Matcher* matcher, std::vector<float>* masked) {
  if (matcher == nullptr) return sampler->draw(logits);
  masked->resize(logits.size());
  matcher->mask(logits, *masked);
  const int32_t token = sampler->draw(*masked);
  matcher->accept(token);
  return token;
}

Taken take(int32_t token, const Tokenizer& tokenizer, const Chat* chat, TextStream* stream) {
  if (chat != nullptr ? chat->is_end(token) : tokenizer.is_end(token)) return {{}, true};
  std::string text = stream->push(tokenizer.decode(token));
  return {std::move(text), stream->stopped()};
}

std::vector<int32_t> tokens_of_beginning(const Model& model, const Tokenizer& tokenizer, std::string_view text) {
  const bool is_alone = text.empty() && tokenizer.bos() >= 0;
  return tokenizer.encode(text, is_alone || leads_with_bos(model, tokenizer) ? PITH_ENCODE_BOS : PITH_ENCODE_NO_BOS);
}

}  // namespace pith
