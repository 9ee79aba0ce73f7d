// A deep context without reading it: the cached rows of a short text over and over. What a step costs hangs on how many tokens are
// cached and not on what their rows hold, so this measures decoding at a depth in seconds where a prompt takes minutes.
#ifndef PITH_CLI_REPEATED_STATE_H
#define PITH_CLI_REPEATED_STATE_H

#include <cstdint>
#include <span>
#include <vector>

#include "pith/pith.hpp"

namespace pith::cli {

// `state` of a session of `model` (src/session/session_state.h), of n tokens, as one of `depth` tokens: token i has the
// rows of token i mod n. To be restored by a session with the same options that holds them. Throws where `state` holds no token, and
// for models with a gate `up`, whose cache is grouped by ids.
std::vector<uint8_t> repeated_state(const Model& model, std::span<const uint8_t> state, uint64_t depth);

}  // namespace pith::cli

#endif
