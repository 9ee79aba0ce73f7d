// pith embed: every line of a file, or of standard input, as a vector.
#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string_view>

#include <fmt/core.h>

#include "commands.h"
#include "descriptors.h"
#include "drawing.h"
#include "embedding.h"
#include "npy_writer.h"
#include "shortest.h"
#include "standard_streams.h"

namespace pith::cli {
namespace {

// Without their ends; what stands after the last end is a line if it has bytes.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const size_t length = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, length);
    if (line.ends_with('\r')) line.remove_suffix(1);
    out.push_back(line);
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return out;
}

std::vector<std::vector<int32_t>> tokens_of(const std::vector<std::string_view>& lines, const Model& model,
                                            const Tokenizer& tokenizer, size_t most) {
  const bool leads = leads_with_bos(model, tokenizer);
  std::vector<std::vector<int32_t>> out;
  for (const std::string_view line : lines) {
    const bool has_bos = leads || (line.empty() && tokenizer.bos() >= 0);
    out.push_back(tokenizer.encode(line, has_bos ? PITH_ENCODE_BOS : PITH_ENCODE_NO_BOS));
    if (out.back().empty()) throw std::runtime_error(fmt::format("line {}: it has no token", out.size()));
    if (out.back().size() > most)
      throw std::runtime_error(
          fmt::format("line {}: {} tokens, and a context of {}; shorten it, or take a longer --context", out.size(),
                      out.back().size(), most));
  }
  return out;
}

void show_lines(size_t done, size_t total) {
  if (internal::is_terminal(internal::kStandardError))
    tell("\r{} of {} lines{}", done, total, done == total ? "\n" : "");
}

std::string line_of(size_t index, size_t n_tokens, const std::vector<float>& values) {
  json::Document numbers = json::Document::array(), out;
  for (const float value : values) numbers.push_back(shortest(value));
  out.add("index", index);
  out.add("tokens", n_tokens);
  out.add("embedding", numbers);
  return out.dump() + "\n";
}

}  // namespace

void embed(const EmbedOptions& options) {
  const std::string text = options.file.empty() ? read_input() : read_file(options.file);
  const std::vector<std::string_view> lines = lines_of(text);
  if (lines.empty()) throw std::runtime_error("no line to embed");
  const Model model = options.model.load_ahead();
  const Tokenizer tokenizer(model);
  pith_session_options resolved = options.session.resolve();
  const pith_model_info info = model.info();
  if (resolved.capacity == 0) resolved.capacity = info.context_length;
  const std::vector<std::vector<int32_t>> tokens = tokens_of(lines, model, tokenizer, resolved.capacity);
  // A session that holds the longest line and no more, unless --context says so.
  if (options.session.context == 0) {
    resolved.capacity = 2;
    for (const std::vector<int32_t>& one : tokens)
      resolved.capacity = std::max(resolved.capacity, uint32_t(one.size()));
  }
  const size_t wanted = resolved.chunk != 0 ? resolved.chunk : 512;  // the default of pith.h
  const size_t chunk = std::min<size_t>(wanted, resolved.capacity - resolved.n_keep);
  const Pooling pooling = options.pooling == "last" ? Pooling::last : Pooling::mean;
  std::optional<NpyWriter> file;
  if (!options.npy.empty()) file.emplace(options.npy, lines.size(), info.width);
  Session session(model, resolved);
  for (size_t i = 0; i < tokens.size() && is_output_open(); ++i) {
    const std::vector<float> values = embedding(&session, tokens[i], info.width, chunk, pooling, options.normalises);
    if (file) file->write(values);
    else write_output(line_of(i, tokens[i].size(), values));
    show_lines(i + 1, tokens.size());
  }
  if (file) file->commit();
}

}  // namespace pith::cli
