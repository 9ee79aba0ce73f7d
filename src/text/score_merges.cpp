#include "text/score_merges.h"

#include <cmath>
#include <cstring>

#include "text/characters.h"

namespace pith::internal {
namespace {

constexpr const char* kScoresKey = "tokenizer.ggml.scores";

float score_of(const TokenArrays& arrays, int32_t id) { return read_le<float>(arrays.scores->value + 4 * size_t(id)); }

// A number that is the smaller, the higher the score: the bits of floats are ordered as the floats are.
int32_t rank_of(float score) {
  int32_t bits = 0;
  std::memcpy(&bits, &score, sizeof bits);
  if (bits < 0) bits = int32_t(0x80000000u - uint32_t(bits));  // -0 is 0
  return -bits;
}

bool merges_make(TokenType type) { return type == TokenType::normal || type == TokenType::user_defined; }

// The number of the symbol that is exactly `part`, or -1: a token, or a single character without one.
int32_t symbol_of(const Vocabulary& vocabulary, uint64_t hash, std::string_view part) {
  const int32_t id = vocabulary.find(hash, part);
  if (id >= 0) return id;
  const Character c = character_at(part, 0);
  return c.bytes == part.size() ? vocabulary.n_tokens() + int32_t(c.code) : -1;
}

// All ways to put one token together from two symbols. False: one of them has no place.
bool find_merges_to(const Vocabulary& vocabulary, int32_t id, float score, uint64_t base_inverse, MergeTable* out) {
  const std::string_view token = vocabulary.bytes(id);
  const uint64_t whole = ByteHash::of(token);
  uint64_t power = ByteHash::power(ByteHash::kBase, token.size());  // B^(bytes of the right part)
  ByteHash left;
  for (size_t at = 0; at < token.size();) {
    for (size_t n = character_at(token, at).bytes; n > 0; --n, ++at) {
      left.append(token[at]);
      power = ByteHash::times(power, base_inverse);
    }
    if (at == token.size()) break;
    const uint64_t right = ByteHash::subtract(whole, ByteHash::times(left.value(), power));
    const int32_t left_id = symbol_of(vocabulary, left.value(), from(token, 0, at));
    if (left_id < 0) continue;
    const int32_t right_id = symbol_of(vocabulary, right, from(token, at));
    if (right_id >= 0 && !out->add(left_id, right_id, rank_of(score), id)) return false;
  }
  return true;
}

}  // namespace

pith_status count_score_merges(const TokenArrays& arrays, size_t* out_count, pith_error* error) {
  if (arrays.scores == nullptr || arrays.scores->count != arrays.tokens->count)
    return fail(error, PITH_E_VOCABULARY, "key ", kScoresKey, ": ",
                arrays.scores == nullptr ? uint64_t(0) : arrays.scores->count, " scores for ", arrays.tokens->count,
                " tokens");
  *out_count = 0;
  StringArray stored(*arrays.tokens);
  for (int32_t id = 0; stored.left() > 0; ++id) {
    const size_t n = stored.next().size();
    if (std::isnan(score_of(arrays, id)))
      return fail(error, PITH_E_VOCABULARY, "key ", kScoresKey, ": the score of token ", id, " is not a number");
    if (!merges_make(arrays.type(id))) continue;
    if (n > kMaxScoredToken)
      return fail(error, PITH_E_LIMIT, "key ", Vocabulary::kTokensKey, ": token ", id, " has ", uint64_t(n),
                  " bytes; with scores it may have ", uint64_t(kMaxScoredToken));
    *out_count += n;
  }
  if (*out_count > MergeTable::kMaxMerges)
    return fail(error, PITH_E_LIMIT, "key ", Vocabulary::kTokensKey, ": more than 64 MiB, with scores");
  return PITH_OK;
}

pith_status find_score_merges(const Vocabulary& vocabulary, const TokenArrays& arrays, MergeTable* out,
                              pith_error* error) {
  const uint64_t base_inverse = ByteHash::inverse_of_base();
  for (int32_t id = 0; id < vocabulary.n_tokens(); ++id) {
    // Of equal tokens the first is the one that there is.
    if (!merges_make(vocabulary.type(id)) || vocabulary.find(vocabulary.bytes(id)) != id) continue;
    if (!find_merges_to(vocabulary, id, score_of(arrays, id), base_inverse, out))
      return fail(error, PITH_E_LIMIT, "key ", Vocabulary::kTokensKey, ": a merge to token ", id,
                  " collides with more than ", kMaxProbes, " others in a hash table");
  }
  return PITH_OK;
}

void list_characters(const Vocabulary& vocabulary, std::string_view text, Symbol* symbols) {
  uint32_t prev = kNoSymbol;
  for (uint32_t at = 0; at < text.size();) {
    const uint32_t n = character_at(text, at).bytes;
    const std::string_view character = from(text, at, n);
    symbols[at] = {symbol_of(vocabulary, ByteHash::of(character), character), prev, at + n};
    prev = at;
    at += n;
  }
  symbols[prev].next = kNoSymbol;
}

}  // namespace pith::internal
