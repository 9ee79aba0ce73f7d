#include "text_tokens.h"

#include "options.h"

namespace pith::cli {

std::vector<int32_t> text_tokens(const std::string& path, const Tokenizer& tokenizer) {
  const std::string separator = "\n<|endoftext|>\n", text = "\n" + read_file(path) + "\n";
  std::vector<int32_t> tokens;
  for (size_t start = 0, end; start < text.size(); start = end + separator.size()) {
    end = std::min(text.find(separator, start), text.size());
    const size_t first = text.find_first_not_of('\n', start), last = text.find_last_not_of('\n', end - 1);
    if (first == std::string::npos || first >= end) continue;
    if (!tokens.empty() && tokenizer.eos() >= 0) tokens.push_back(tokenizer.eos());
    const std::vector<int32_t> ids = tokenizer.encode(text.substr(first, last + 1 - first), PITH_ENCODE_NO_BOS);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
  }
  return tokens;
}

}  // namespace pith::cli
