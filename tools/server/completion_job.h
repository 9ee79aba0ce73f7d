// Reads a prompt and writes what follows, a chunk or a token at a time.
#ifndef PITH_SERVER_COMPLETION_JOB_H
#define PITH_SERVER_COMPLETION_JOB_H

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "completion_request.h"
#include "drawing.h"
#include "job.h"
#include "served_model.h"

namespace pith::server {

struct ScoredToken {
  int32_t token;
  float logprob;                        // of the model, before temperature
  std::vector<pith_logprob> likeliest;  // the likeliest first
};

struct Piece {
  std::string text;
  std::vector<ScoredToken> tokens;  // that were drawn since the last piece, where scores are wanted
};

struct Usage {
  size_t n_prompt = 0, n_cached = 0, n_drawn = 0;
};

class CompletionJob : public Job {
 public:
  // `chunk`: tokens of a prompt that are evaluated at a time.
  CompletionJob(CompletionRequest request, const ServedModel& served, uint32_t chunk);

  std::span<const int32_t> prompt() const override { return request_.prompt; }
  void begin(size_t n_kept) override;
  bool step(Seat* seat) override;
  bool is_held_up() override;

  // Of the connection's thread: what was written since the last call, joined; false: nothing.
  bool take(Piece* piece);
  // Of a job that is over.
  const char* finish_reason() const { return is_cut_ ? "length" : "stop"; }
  Usage usage();

 private:
  bool has_news() override { return !pieces_.empty(); }
  bool draw_next(Seat* seat);
  void hand_out(std::string text);

  const CompletionRequest request_;
  const ServedModel& served_;
  const uint32_t chunk_;
  Sampler sampler_;
  TextStream stream_;
  std::optional<Matcher> matcher_;
  std::vector<float> masked_;  // its logits, [V]
  size_t n_read_ = 0;          // of the prompt
  int32_t next_ = -1;          // drawn and not evaluated yet
  bool is_cut_ = false;
  std::vector<ScoredToken> scored_;  // not handed out yet
  // Behind the mutex.
  std::deque<Piece> pieces_;
  Usage usage_;
};

}  // namespace pith::server

#endif
