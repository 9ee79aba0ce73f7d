// Texts that a client wants as vectors: the body of /v1/embeddings.
#ifndef PITH_SERVER_EMBEDDING_REQUEST_H
#define PITH_SERVER_EMBEDDING_REQUEST_H

#include <cstdint>
#include <vector>

#include "document.h"
#include "served_model.h"

namespace pith::server {

struct EmbeddingRequest {
  std::vector<std::vector<int32_t>> texts;  // tokens of each
  bool is_base64;                           // float32, little-endian, as base64 instead of numbers
};

// Throws ApiError, which names the field.
EmbeddingRequest read_embedding_request(const json::Document& body, const ServedModel& served);

}  // namespace pith::server

#endif
