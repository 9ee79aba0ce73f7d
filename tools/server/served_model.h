// The model that is served, and how it is talked to: what the readers of requests need to know.
#ifndef PITH_SERVER_SERVED_MODEL_H
#define PITH_SERVER_SERVED_MODEL_H

#include <cstdint>
#include <string>
#include <vector>

#include "pith/pith.hpp"
#include "pooling.h"
#include "sampling_options.h"

namespace pith::server {

struct ServedModel {
  std::string name;
  int64_t created;  // seconds since 1970: when the file was written
  const Model& model;
  const Tokenizer& tokenizer;
  const TokenTrie& trie;
  const Chat* chat;          // NULL: it answers no conversation
  std::string why_no_chat;   // where it has none
  bool thinks;               // before it answers, where the template can say so
  uint32_t context;          // tokens of a session
  SamplingOptions sampling;  // of requests that do not say
  Pooling pooling;           // of embeddings
};

}  // namespace pith::server

#endif
