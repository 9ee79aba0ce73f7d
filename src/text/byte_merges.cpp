#include "text/byte_merges.h"

#include "text/byte_alphabet.h"
#include "text/characters.h"

namespace pith::internal {
namespace {

// "left right". The merged token is found by its bytes, put together in the vocabulary's room: what does not fit there
// is no token.
pith_status read_merge(const Vocabulary& vocabulary, int32_t rank, std::string_view line, MergeTable* out,
                       pith_error* error) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos)
    return fail(error, PITH_E_VOCABULARY, "key ", Vocabulary::kMergesKey, ": merge ", rank,
                " is not two tokens with a space between");
  char* text = vocabulary.merge_room();
  const size_t room = vocabulary.longest_bytes();
  const int64_t n_left = gpt2_bytes(from(line, 0, space), text, room);
  if (n_left < 0) return PITH_OK;
  const int64_t n_right = gpt2_bytes(from(line, space + 1), text + n_left, room - size_t(n_left));
  if (n_right < 0) return PITH_OK;
  const int32_t left = vocabulary.find({text, size_t(n_left)});
  const int32_t right = vocabulary.find({text + n_left, size_t(n_right)});
  const int32_t merged = vocabulary.find({text, size_t(n_left + n_right)});
  if (left < 0 || right < 0 || merged < 0 || out->add(left, right, rank, merged)) return PITH_OK;
  return fail(error, PITH_E_LIMIT, "key ", Vocabulary::kMergesKey, ": merge ", rank, " collides with more than ",
              kMaxProbes, " others in a hash table");
}

}  // namespace

pith_status read_byte_merges(const Vocabulary& vocabulary, const MetaEntry& merges, MergeTable* out,
                             pith_error* error) {
  StringArray lines(merges);
  for (int32_t rank = 0; lines.left() > 0; ++rank) PITH_TRY(read_merge(vocabulary, rank, lines.next(), out, error));
  return PITH_OK;
}

void list_bytes(const Vocabulary& vocabulary, std::string_view piece, Symbol* symbols) {
  const uint32_t n = uint32_t(piece.size());
  for (uint32_t i = 0; i < n; ++i)
    symbols[i] = {vocabulary.byte_id(uint8_t(piece[i])), i - 1, i + 1};  // 0 - 1 is kNoSymbol
  symbols[n - 1].next = kNoSymbol;
}

}  // namespace pith::internal
