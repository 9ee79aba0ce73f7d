// A text as one vector: from the normed hidden states that the output matrix multiplies.
#ifndef PITH_CLI_EMBEDDING_H
#define PITH_CLI_EMBEDDING_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pith/pith.hpp"

namespace pith::cli {

enum class Pooling {
  mean,  // of all tokens, the begin-of-text token included
  last   // that of the last token
};

// Resets the session, reads `tokens`, one or more, and returns [width]. `chunk`: tokens of one call, as the session has
// them. Sums are in double, in the order of tokens. normalises: to the length 1, unless it is 0.
std::vector<float> embedding(Session* session, std::span<const int32_t> tokens, size_t width, size_t chunk,
                             Pooling pooling, bool normalises);

}  // namespace pith::cli

#endif
