// What a client asks to be written: the bodies of /v1/chat/completions and /v1/completions.
#ifndef PITH_SERVER_COMPLETION_REQUEST_H
#define PITH_SERVER_COMPLETION_REQUEST_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "document.h"
#include "sampling_options.h"
#include "served_model.h"

namespace pith::server {

struct CompletionRequest {
  bool is_chat;
  std::vector<int32_t> prompt;
  uint32_t max_tokens;
  SamplingOptions sampling;  // the stop strings of the template among its own
  bool streams = false;
  bool includes_usage = false;             // in a stream
  std::shared_ptr<const Grammar> grammar;  // that the answer fits; NULL: any answer
  bool has_scores = false;                 // the log-probability of every token
  uint32_t n_likeliest = 0;                // and those of as many others in its place
};

// Throw ApiError, which names the field. What this server does not know is ignored, as OpenAI's clients send much; what
// it knows and cannot do is refused.
CompletionRequest read_chat_request(const json::Document& body, const ServedModel& served);
CompletionRequest read_text_request(const json::Document& body, const ServedModel& served);

}  // namespace pith::server

#endif
