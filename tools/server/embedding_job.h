// Texts to vectors: the mean of the hidden states of a text's tokens, or the last one, of length 1.
#ifndef PITH_SERVER_EMBEDDING_JOB_H
#define PITH_SERVER_EMBEDDING_JOB_H

#include <cstdint>
#include <span>
#include <vector>

#include "embedding_request.h"
#include "job.h"
#include "pooling.h"
#include "served_model.h"

namespace pith::server {

class EmbeddingJob : public Job {
 public:
  EmbeddingJob(EmbeddingRequest request, const ServedModel& served, uint32_t chunk);

  std::span<const int32_t> prompt() const override { return {}; }
  void begin(size_t) override {}
  bool step(Seat* seat) override;

  // Of a job that is over.
  const std::vector<std::vector<float>>& vectors() const { return vectors_; }  // [texts][width]
  size_t n_tokens() const { return n_tokens_; }                                // of all texts

 private:
  void end_text(std::span<const float> last);

  const EmbeddingRequest request_;
  const ServedModel& served_;
  const uint32_t chunk_;
  const size_t width_;
  size_t n_read_ = 0;  // of the text that is being read
  MeanState mean_;     // of its tokens
  std::vector<std::vector<float>> vectors_;
  size_t n_tokens_ = 0;
};

}  // namespace pith::server

#endif
