#include "grammar/token_trie.h"

#include <algorithm>

namespace pith::internal {

void TokenTrie::lay_out(const TextTokenizer& tokenizer, Arena* arena) {
  size_t n_bytes = 0;
  tokenizer_ = &tokenizer;
  n_tokens_ = tokenizer.n_tokens();
  n_texts_ = n_ends_ = 0;
  for (int32_t token = 0; token < n_tokens_; ++token) {
    const size_t n = text_of(tokenizer, token).size();
    n_bytes += n;
    n_texts_ += n > 0 ? 1 : 0;
    n_ends_ += tokenizer.is_end(token) ? 1 : 0;
  }
  arena->take<TokenTrie>(1);
  ids_ = arena->take<int32_t>(n_texts_);
  ends_ = arena->take<int32_t>(n_ends_);
  shared_ = arena->take<uint8_t>(n_texts_);
  offsets_ = arena->take<uint32_t>(size_t(n_texts_) + 1);
  text_ = arena->take<char>(n_bytes);
}

size_t TokenTrie::bytes(const TextTokenizer& tokenizer) {
  Arena measure;
  TokenTrie().lay_out(tokenizer, &measure);
  return measure.used();
}

void TokenTrie::init(const TextTokenizer& tokenizer, void* memory) {
  *this = TokenTrie();
  Arena arena(memory);
  lay_out(tokenizer, &arena);
  uint32_t n_texts = 0, n_ends = 0;
  for (int32_t token = 0; token < n_tokens_; ++token) {
    if (tokenizer.is_end(token)) ends_[n_ends++] = token;
    else if (!text_of(tokenizer, token).empty()) ids_[n_texts++] = token;
  }
  std::sort(ids_, ids_ + n_texts, [&](int32_t a, int32_t b) {
    const int order = text_of(tokenizer, a).compare(text_of(tokenizer, b));
    return order != 0 ? order < 0 : a < b;
  });
  std::string_view before;
  offsets_[0] = 0;
  for (uint32_t i = 0; i < n_texts; ++i) {
    const std::string_view text = text_of(tokenizer, ids_[i]);
    std::copy(text.begin(), text.end(), text_ + offsets_[i]);
    offsets_[i + 1] = offsets_[i] + uint32_t(text.size());
    const size_t most = std::min({text.size(), before.size(), size_t(kMaxShared)});
    size_t n = 0;
    while (n < most && text[n] == before[n]) ++n;
    shared_[i] = uint8_t(n);
    before = text;
  }
}

}  // namespace pith::internal
