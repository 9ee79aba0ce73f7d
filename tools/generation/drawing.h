// From logits to text: the step that every command that generates takes.
#ifndef PITH_GENERATION_DRAWING_H
#define PITH_GENERATION_DRAWING_H

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pith/pith.hpp"

namespace pith {

// Draws a token that a matcher lets come next, and tells it; of any, where that is NULL. `masked` is the matcher's room
// for logits.
int32_t draw(Sampler* sampler, std::span<const float> logits, Matcher* matcher, std::vector<float>* masked);

struct Taken {
  std::string text;  // that may be shown now: of this token, and of those before it that was held back
  bool is_last;      // a token that ends a text, and has none itself; or a stop string was seen
};

// Puts a drawn token's text through the stream. `chat`: the conversation that is answered; NULL for a text.
Taken take(int32_t token, const Tokenizer& tokenizer, const Chat* chat, TextStream* stream);

// Whether texts begin with the begin-of-text token: unless the file says no.
bool leads_with_bos(const Model& model, const Tokenizer& tokenizer);

// Tokens of a text that begins: led by the begin-of-text token, unless the file says no. A text of nothing else begins
// with it in any case; there are no tokens where the model has no such token either.
std::vector<int32_t> tokens_of_beginning(const Model& model, const Tokenizer& tokenizer, std::string_view text);

}  // namespace pith

#endif
