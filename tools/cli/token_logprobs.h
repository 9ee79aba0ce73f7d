// Log-probabilities of drawn tokens as JSON, under the names that the OpenAI interface has for them.
#ifndef PITH_CLI_TOKEN_LOGPROBS_H
#define PITH_CLI_TOKEN_LOGPROBS_H

#include <cstdint>
#include <span>

#include "document.h"
#include "pith/pith.hpp"

namespace pith::cli {

// {"token": text, "id": id, "logprob": natural logarithm, "bytes": [0 .. 255, ...], "top_logprobs": [the same of the
// `k` likeliest, the likeliest first, each without top_logprobs]}. Bytes that are no UTF-8, such as a part of a
// character, are U+FFFD in the text; a special token has its name there, and bytes null. `logits` [V]: those that
// `token` was drawn from; k <= V.
json::Document logprobs_document(const Tokenizer& tokenizer, std::span<const float> logits, int32_t token, uint32_t k);

}  // namespace pith::cli

#endif
