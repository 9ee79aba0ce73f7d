// Which tokens may come next: the state of one text under a grammar, and masks over the vocabulary.
#ifndef PITH_GRAMMAR_MATCHER_H
#define PITH_GRAMMAR_MATCHER_H

#include "grammar/automaton.h"
#include "grammar/grammar.h"
#include "grammar/token_trie.h"

namespace pith::internal {

class TokenMatcher {
 public:
  static constexpr uint32_t kMasks = 16;  // that are remembered: a text is often in a state again

  void lay_out(const Grammar& grammar, const TokenTrie& trie, Arena* arena);
  pith_status reset(pith_error* error);
  bool is_like(const TokenMatcher& other) const { return grammar_ == other.grammar_ && trie_ == other.trie_; }
  void copy(const TokenMatcher& other);  // one that this is like

  pith_status accept(int32_t token, pith_error* error);
  // `out` may be `logits`. [n_tokens]
  pith_status mask(const float* logits, float* out, pith_error* error);
  bool may_end() const { return !has_ended_ && automaton_.may_end(automaton_.state(0)); }
  bool is_done() const { return has_ended_ || !automaton_.may_go_on(automaton_.state(0)); }
  int32_t n_tokens() const { return trie_->n_tokens(); }

 private:
  struct Mask {
    Automaton::State state;
    bool any;        // a token is allowed
    uint64_t* bits;  // [n_tokens / 64 + 1]: there is one bit at least that is no token's
  };

  size_t n_words() const { return size_t(trie_->n_tokens()) / 64 + 1; }
  void forget_masks();
  pith_status find_mask(const Mask** out, pith_error* error);
  pith_status walk(uint64_t* bits, pith_error* error);
  pith_status follow(std::string_view text, pith_error* error);

  const Grammar* grammar_ = nullptr;
  const TokenTrie* trie_ = nullptr;
  Automaton automaton_;  // path[0] is the present state
  Mask masks_[kMasks] = {};
  uint32_t n_masks_ = 0, next_mask_ = 0, seen_collections_ = 0;
  bool has_ended_ = false;
};

}  // namespace pith::internal

struct pith_matcher {
  pith::internal::TokenMatcher matcher;
};

#endif
