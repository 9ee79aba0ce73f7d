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
  PITH_TRY(follow(text, error));
  if (automaton_.state(1) == Automaton::kDead)
    return fail(error, PITH_E_TOKEN, "argument token: ", token, " (\"", text, "\") does not fit the grammar here");
  automaton_.set(0, automaton_.state(1));
  return PITH_OK;
}

// path[1] becomes what the present state is after a text.
pith_status TokenMatcher::follow(std::string_view text, pith_error* error) {
  automaton_.set(1, automaton_.state(0));
  for (size_t i = 0; i < text.size() && automaton_.state(1) != Automaton::kDead; ++i)
    PITH_TRY(automaton_.step(1, uint8_t(text[i]), 1, error));
  return PITH_OK;
}

// All tokens. path[n] is the state after the first n bytes of those at hand; where a byte leads nowhere, so do all
// tokens that have it there.
pith_status TokenMatcher::walk(uint64_t* bits, pith_error* error) {
  std::fill(bits, bits + n_words(), uint64_t(0));
  const uint32_t n = trie_->n_nodes();
  const uint8_t *bytes = trie_->bytes_of_nodes(), *depths = trie_->depths();
  const uint32_t* tokens = trie_->tokens();
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t depth = depths[i];
    Automaton::State next = automaton_.known(automaton_.state(depth - 1), bytes[i]);
    if (next == Automaton::kDead || next == Automaton::kUnknown) {
      if (next == Automaton::kUnknown) {
        PITH_TRY(automaton_.step(depth - 1, bytes[i], depth, error));
        next = automaton_.state(depth);
      }
      if (next == Automaton::kDead) {
        while (i + 1 < n && depths[i + 1] > depth) ++i;
        continue;
      }
    }
    automaton_.set(depth, next);
    bits[tokens[i] / 64] |= uint64_t(1) << (tokens[i] % 64);
  }
  for (uint32_t i = 0; i < trie_->n_long(); ++i) {
    const uint32_t token = uint32_t(trie_->long_token(i));
    PITH_TRY(follow(TokenTrie::text_of(trie_->tokenizer(), int32_t(token)), error));
    if (automaton_.state(1) != Automaton::kDead) bits[token / 64] |= uint64_t(1) << (token % 64);
  }
  const uint32_t none = uint32_t(trie_->n_tokens());
  bits[none / 64] &= ~(uint64_t(1) << (none % 64));
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
  PITH_TRY(walk(mask->bits, error));
  if (!is_known()) {  // states that were thrown away and made again: no other mask holds
    forget_masks();
    std::swap(masks_[0], *mask);
    mask = &masks_[0];
  }
  if (may_end()) {
    for (uint32_t i = 0; i < trie_->n_ends(); ++i) {
      const uint32_t id = uint32_t(trie_->end(i));
      mask->bits[id / 64] |= uint64_t(1) << (id % 64);
    }
  }
  mask->any = std::any_of(mask->bits, mask->bits + n_words(), [](uint64_t word) { return word != 0; });
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
    return fail(error, PITH_E_NO_TOKEN,
                may_end() ? "matcher: the text is complete, and the vocabulary has no token that ends it"
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
