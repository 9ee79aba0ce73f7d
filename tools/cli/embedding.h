// A text as one vector, by a session of its own.
#ifndef PITH_CLI_EMBEDDING_H
#define PITH_CLI_EMBEDDING_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pith/pith.hpp"
#include "pooling.h"

namespace pith::cli {

// Resets the session, reads `tokens`, one or more, and returns [width]. `chunk`: tokens of one call, as the session has
// them.
std::vector<float> embedding(Session* session, std::span<const int32_t> tokens, size_t width, size_t chunk,
                             Pooling pooling, bool normalises);

}  // namespace pith::cli

#endif
