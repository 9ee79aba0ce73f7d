#include "drawing.h"

namespace pith {
namespace {

bool leads_with_bos(const Model& model, const Tokenizer& tokenizer) {
  const Result<pith_metadata> key = model.try_find_metadata("tokenizer.ggml.add_bos_token");
  return tokenizer.bos() >= 0 && (!key.has_value() || key->uint_value != 0);
}

}  // namespace

Drawn draw(Sampler* sampler, std::span<const float> logits, const Tokenizer& tokenizer, const Chat* chat,
           TextStream* stream) {
  Drawn out{sampler->draw(logits), {}, true};
  if (chat != nullptr ? chat->is_end(out.token) : tokenizer.is_end(out.token)) return out;
  out.text = stream->push(tokenizer.decode(out.token));
  out.is_last = stream->stopped();
  return out;
}

std::vector<int32_t> tokens_of_beginning(const Model& model, const Tokenizer& tokenizer, std::string_view text) {
  const bool is_alone = text.empty() && tokenizer.bos() >= 0;
  return tokenizer.encode(text, is_alone || leads_with_bos(model, tokenizer) ? PITH_ENCODE_BOS : PITH_ENCODE_NO_BOS);
}

}  // namespace pith
