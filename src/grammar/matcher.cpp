#include "grammar/matcher.h"

#include <algorithm>
#include <cstring>

#include "ground/status.h"

namespace pith::internal {

void TokenMatcher::lay_out(const Grammar& grammar, const TokenTrie& trie, Arena* arena) {
  grammar_ = &grammar;
  trie_ = &trie;
  arena->take<TokenMatcher>(1);
  automaton_.lay_out(&grammar.program(), arena);
  for (Mask& mask : masks_) mask.bits = arena->take<uint64_t>(n_words());
}

void TokenMatcher::forget_masks() {
  n_masks_ = next_mask_ = 0;
  seen_collections_ = automaton_.n_collections();
}

pith_status TokenMatcher::reset(pith_error* error) {
  has_ended_ = false;
  PITH_TRY(automaton_.start(error));
  forget_masks();
  return PITH_OK;
}

void TokenMatcher::copy(const TokenMatcher& other) {
  automaton_.copy(other.automaton_);
  has_ended_ = other.has_ended_;
  forget_masks();
}

pith_status TokenMatcher::accept(int32_t token, pith_error* error) {
  const TextTokenizer& tokenizer = trie_->tokenizer();
  if (has_ended_) return fail(error, PITH_E_STATE, "matcher: the text has ended; reset it for another one");
  if (tokenizer.is_end(token)) {
    if (!may_end())
      return fail(error, PITH_E_TOKEN, "argument token: ", token, " ends the text, which does not fit the grammar yet");
    has_ended_ = true;
    return PITH_OK;
  }
  const std::string_view text = TokenTrie::text_of(tokenizer, token);
  if (text.empty()) return fail(error, PITH_E_TOKEN, "argument token: ", token, " is no text, and none fits here");
  automaton_.set(1, automaton_.state(0));
  for (const char c : text) {
    PITH_TRY(automaton_.step(1, uint8_t(c), 1, error));
    if (automaton_.state(1) == Automaton::kDead)
      return fail(error, PITH_E_TOKEN, "argument token: ", token, " (\"", text, "\") does not fit the grammar here");
  }
  automaton_.set(0, automaton_.state(1));
  return PITH_OK;
}

// All tokens in the order of their bytes. Two that share a beginning share its states, and where a byte leads nowhere,
// so do all tokens that have it there.
pith_status TokenMatcher::walk(Mask* mask, pith_error* error) {
  constexpr uint32_t kLast = Automaton::kPath - 1;
  const TokenTrie& trie = *trie_;
  std::fill(mask->bits, mask->bits + n_words(), uint64_t(0));
  const uint32_t n = trie.n_texts();
  uint64_t* const bits = mask->bits;
  mask->any = false;
  for (uint32_t i = 0; i < n;) {
    const std::string_view text = trie.text(i);
    size_t at = trie.shared(i);
    Automaton::State state = automaton_.state(uint32_t(at));
    for (; at < text.size(); ++at) {
      Automaton::State next = automaton_.known(state, uint8_t(text[at]));
      const uint32_t to = uint32_t(std::min(at + 1, size_t(kLast)));
      if (next == Automaton::kUnknown) {
        PITH_TRY(automaton_.step(uint32_t(std::min(at, size_t(kLast))), uint8_t(text[at]), to, error));
        next = automaton_.state(to);
      }
      if (next == Automaton::kDead) break;
      automaton_.set(to, next);
      state = next;
    }
    if (at == text.size()) {
      const uint32_t id = uint32_t(trie.id(i));
      bits[id / 64] |= uint64_t(1) << (id % 64);
      mask->any = true;
      ++i;
      continue;
    }
    for (++i; i < n && trie.shared(i) > at; ++i) {
    }
  }
  return PITH_OK;
}

pith_status TokenMatcher::find_mask(const Mask** out, pith_error* error) {
  const auto is_known = [&] { return seen_collections_ == automaton_.n_collections(); };
  if (!is_known()) forget_masks();
  for (uint32_t i = 0; i < n_masks_; ++i) {
    if (masks_[i].state == automaton_.state(0)) {
      *out = &masks_[i];
      return PITH_OK;
    }
  }
  const uint32_t place = next_mask_;
  Mask* mask = &masks_[place];
  mask->state = Automaton::kUnknown;
  PITH_TRY(walk(mask, error));
  if (!is_known()) {  // states that were thrown away and made again: no other mask holds
    forget_masks();
    std::swap(masks_[0], *mask);
    mask = &masks_[0];
  }
  if (may_end()) {
    for (uint32_t i = 0; i < trie_->n_ends(); ++i) {
      const uint32_t id = uint32_t(trie_->end(i));
      mask->bits[id / 64] |= uint64_t(1) << (id % 64);
      mask->any = true;
    }
  }
  mask->state = automaton_.state(0);
  next_mask_ = uint32_t(mask - masks_ + 1) % kMasks;
  n_masks_ = std::max(n_masks_, uint32_t(mask - masks_ + 1));
  *out = mask;
  return PITH_OK;
}

pith_status TokenMatcher::mask(const float* logits, float* out, pith_error* error) {
  if (has_ended_) return fail(error, PITH_E_STATE, "matcher: the text has ended; reset it for another one");
  const Mask* mask = nullptr;
  PITH_TRY(find_mask(&mask, error));
  if (!mask->any)
    return fail(error, PITH_E_NO_TOKEN, may_end() ? "matcher: the text is complete, and the vocabulary has no token that ends it"
                                               : "matcher: the vocabulary has no token for what the grammar asks here");
  const size_t n = size_t(trie_->n_tokens());
  for (size_t first = 0; first < n; first += 64) {
    const size_t count = std::min(n - first, size_t(64));
    const uint64_t bits = mask->bits[first / 64];
    if (bits == UINT64_MAX) {
      std::memmove(out + first, logits + first, count * sizeof(float));
      continue;
    }
    for (size_t i = 0; i < count; ++i) out[first + i] = (bits >> i & 1) != 0 ? logits[first + i] : -__builtin_inff();
  }
  return PITH_OK;
}

}  // namespace pith::internal
