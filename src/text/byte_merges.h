// Byte-level BPE: merges in the order of the file, over bytes.
#ifndef PITH_TEXT_BYTE_MERGES_H
#define PITH_TEXT_BYTE_MERGES_H

#include <cstdint>
#include <string_view>

#include "ground/status.h"
#include "text/merge_table.h"
#include "text/vocabulary.h"

namespace pith::internal {

// Reads tokenizer.ggml.merges. A merge of a token that the vocabulary lacks, or to one, can never happen: it is left
// out.
pith_status read_byte_merges(const Vocabulary& vocabulary, const MetaEntry& merges, MergeTable* out, pith_error* error);

// The bytes of a piece, not empty, as symbols [piece.size()]: ids of tokens, -1 for a byte that has none.
void list_bytes(const Vocabulary& vocabulary, std::string_view piece, Symbol* symbols);

}  // namespace pith::internal

#endif
