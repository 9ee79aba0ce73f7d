#include "text_tokens.h"

#include <algorithm>

#include "options.h"

namespace pith::cli {
namespace {

constexpr std::string_view kSeparator = "<|endoftext|>";

// A text without the line ending at its end, if there is one.
std::string_view without_line_ending(std::string_view text) {
  if (!text.ends_with('\n')) return text;
  text.remove_suffix(1);
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

}  // namespace

Documents documents_of(std::string_view text) {
  Documents out;
  size_t first = 0;  // of the document
  const auto end_document = [&](size_t end) {
    const std::string_view document = without_line_ending(text.substr(first, end - first));
    if (!document.empty()) out.texts.push_back(document);
    return !document.empty();
  };
  for (size_t at = 0; at < text.size();) {
    const size_t next = std::min(text.find('\n', at), text.size() - 1) + 1;
    const std::string_view line = text.substr(at, next - at);
    out.n_crlf_lines += line.ends_with("\r\n");
    if (without_line_ending(line) == kSeparator) {
      out.n_empty += !end_document(at);
      first = next;
    }
    at = next;
  }
  (void)end_document(text.size());  // after the last separator there need not be another
  return out;
}

TextTokens text_tokens(const std::string& path, const Tokenizer& tokenizer) {
  const std::string text = read_file(path);
  const Documents documents = documents_of(text);
  TextTokens out;
  out.n_documents = documents.texts.size();
  out.n_empty = documents.n_empty;
  out.n_crlf_lines = documents.n_crlf_lines;
  for (const std::string_view document : documents.texts) {
    if (!out.ids.empty() && tokenizer.eos() >= 0) out.ids.push_back(tokenizer.eos());
    const std::vector<int32_t> ids = tokenizer.encode(document, PITH_ENCODE_NO_BOS);
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
  }
  return out;
}

}  // namespace pith::cli
