#include "grammar/token_trie.h"

#include <algorithm>

namespace pith::internal {

void TokenTrie::lay_out(const TextTokenizer& tokenizer, Arena* arena) {
  size_t n_bytes = 0;  // as many nodes as there may be: how much tokens share is known when they are in order
  tokenizer_ = &tokenizer;
  n_tokens_ = tokenizer.n_tokens();
  n_texts_ = n_ends_ = n_long_ = n_nodes_ = 0;
  for (int32_t token = 0; token < n_tokens_; ++token) {
    const size_t n = text_of(tokenizer, token).size();
    n_bytes += n <= kMaxDepth ? n : 0;
    n_texts_ += n > 0 ? 1 : 0;
    n_ends_ += tokenizer.is_end(token) ? 1 : 0;
  }
  arena->take<TokenTrie>(1);
  ids_ = arena->take<int32_t>(n_texts_);
  ends_ = arena->take<int32_t>(n_ends_);
  bytes_ = arena->take<uint8_t>(n_bytes);
  depths_ = arena->take<uint8_t>(n_bytes);
  tokens_ = arena->take<uint32_t>(n_bytes);
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
  const auto text = [&](int32_t token) { return text_of(tokenizer, token); };
  int32_t* first = std::partition(ids_, ids_ + n_texts, [&](int32_t token) { return text(token).size() > kMaxDepth; });
  n_long_ = uint32_t(first - ids_);
  std::sort(first, ids_ + n_texts, [&](int32_t a, int32_t b) {
    const int order = text(a).compare(text(b));
    return order != 0 ? order < 0 : a < b;
  });
  std::string_view before;
  for (const int32_t* id = first; id != ids_ + n_texts; ++id) {
    const std::string_view own = text(*id);
    size_t shared = 0;
    while (shared < own.size() && shared < before.size() && own[shared] == before[shared]) ++shared;
    if (shared == own.size()) --shared;  // a second token of these bytes: its last node once more
    for (size_t i = shared; i < own.size(); ++i, ++n_nodes_) {
      bytes_[n_nodes_] = uint8_t(own[i]);
      depths_[n_nodes_] = uint8_t(i + 1);
      tokens_[n_nodes_] = uint32_t(i + 1 < own.size() ? n_tokens_ : *id);
    }
    before = own;
  }
}

}  // namespace pith::internal
