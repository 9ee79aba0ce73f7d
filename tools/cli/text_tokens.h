// The tokens of a text file, and what a text begins with.
//
// A line `<|endoftext|>` parts documents. The line ending before it, or before the end of the file, ends the document's
// last line and is not part of it; every other byte is, blank lines and carriage returns included. Documents without
// bytes are passed over.
#ifndef PITH_CLI_TEXT_TOKENS_H
#define PITH_CLI_TEXT_TOKENS_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pith/pith.hpp"

namespace pith::cli {

struct Documents {
  std::vector<std::string_view> texts;
  size_t n_empty = 0;       // between separators that follow each other, or before the first
  size_t n_crlf_lines = 0;  // that end in a carriage return and a line feed
};
Documents documents_of(std::string_view text);

struct TextTokens {
  std::vector<int32_t> ids;  // of all documents, with the end-of-text token between them if the model has one
  size_t n_documents = 0, n_empty = 0, n_crlf_lines = 0;
};
TextTokens text_tokens(const std::string& path, const Tokenizer& tokenizer);

}  // namespace pith::cli

#endif
