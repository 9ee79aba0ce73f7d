// The tokens of a text file.
#ifndef PITH_CLI_TEXT_TOKENS_H
#define PITH_CLI_TEXT_TOKENS_H

#include <cstdint>
#include <string>
#include <vector>

#include "pith/pith.hpp"

namespace pith::cli {

// The tokens of all documents, with the end-of-text token between them: a line `<|endoftext|>` ends a document.
std::vector<int32_t> text_tokens(const std::string& path, const Tokenizer& tokenizer);

}  // namespace pith::cli

#endif
