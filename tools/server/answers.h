// What clients get, in OpenAI's shapes.
#ifndef PITH_SERVER_ANSWERS_H
#define PITH_SERVER_ANSWERS_H

#include <cstdint>
#include <string>
#include <vector>

#include "completion_job.h"
#include "document.h"
#include "embedding_job.h"
#include "served_model.h"

namespace pith::server {

// Of one completion: as a whole, or as the events of a stream.
class CompletionAnswer {
 public:
  CompletionAnswer(const ServedModel& served, bool is_chat);

  std::string whole(const Piece& piece, const char* finish_reason, const Usage& usage);

  // Server-sent events, each with its empty line.
  std::string first_event();  // of a chat: who speaks; "" of a text
  std::string event(const Piece& piece);
  std::string last_events(const char* finish_reason, const Usage& usage, bool includes_usage);

 private:
  json::Document head(const char* object) const;
  json::Document scores(const std::vector<ScoredToken>& tokens);
  json::Document chat_scores(const std::vector<ScoredToken>& tokens) const;
  json::Document text_scores(const std::vector<ScoredToken>& tokens);
  std::string chunk(json::Document choice) const;

  const ServedModel& served_;
  const bool is_chat_;
  const std::string id_;
  const int64_t created_;
  size_t text_offset_ = 0;  // bytes of the tokens so far
};

std::string embedding_answer(const ServedModel& served, const EmbeddingJob& job, bool is_base64);
json::Document model_answer(const ServedModel& served);

}  // namespace pith::server

#endif
