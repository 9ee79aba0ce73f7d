#include "embedding_request.h"

#include <fmt/core.h>

#include "api_error.h"
#include "fields.h"
#include "text_inputs.h"

namespace pith::server {
namespace {

constexpr size_t kMostTexts = 2048;  // OpenAI's limit

}  // namespace

EmbeddingRequest read_embedding_request(const json::Document& body, const ServedModel& served) {
  const Fields fields(body);
  (void)fields.string("model");
  EmbeddingRequest out;
  const std::string format = fields.string("encoding_format").value_or("float");
  if (format != "float" && format != "base64") throw refused("encoding_format", "must be \"float\" or \"base64\"");
  out.is_base64 = format == "base64";
  const uint32_t width = served.model.info().width;
  if (fields.natural("dimensions", 1, 1u << 24).value_or(width) != width)
    throw refused("dimensions", fmt::format("this model's embeddings have {}", width));
  out.texts = read_inputs(fields, "input", served);
  if (out.texts.size() > kMostTexts) throw refused("input", fmt::format("{} texts at most", kMostTexts));
  for (size_t i = 0; i < out.texts.size(); ++i) {
    const size_t n = out.texts[i].size();
    if (n == 0) throw refused("input", fmt::format("text {} has no tokens", i));
    if (n > served.context)
      throw ApiError(400, fmt::format("field input: text {} has {} tokens, and the context {}", i, n, served.context),
                     "input", "context_length_exceeded");
  }
  return out;
}

}  // namespace pith::server
