// SentencePiece's BPE: two neighbours merge if together they are a token, the token of the highest score first. A
// text's symbols are its characters, blanks among them; there are no pieces before.
#ifndef PITH_TEXT_SCORE_MERGES_H
#define PITH_TEXT_SCORE_MERGES_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ground/status.h"
#include "text/merge_table.h"
#include "text/vocabulary.h"

namespace pith::internal {

// Bytes of a token. Every place where one may be put together is looked up, so that this bounds the time that takes.
constexpr size_t kMaxScoredToken = 1024;

// Checks tokenizer.ggml.scores, and counts the merges that there may be: every place between two characters of a token.
pith_status count_score_merges(const TokenArrays& arrays, size_t* out_count, pith_error* error);

pith_status find_score_merges(const Vocabulary& vocabulary, const TokenArrays& arrays, MergeTable* out,
                              pith_error* error);

// The characters of a text, not empty, as symbols [text.size()]: each at its first byte. One that is no token has a
// number of its own from n_tokens on, for there may be tokens that have it in them.
void list_characters(const Vocabulary& vocabulary, std::string_view text, Symbol* symbols);

}  // namespace pith::internal

#endif
