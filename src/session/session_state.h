// A session's state as bytes that outlive it: position, cache, groups and the last logits.
//
//   what all states begin with (ground/saved_state.h), "PITHSTAT", version 2; the owner is a hash of the model
//   u64 shape[9]: the options attention, cache, activations, capacity, n_keep, and the rows of the pool; then position,
//     has logits, bytes of the cache
//   cache of KvCache::save | logits [V] float32, where there are any
//
// The hash of the model is of its bytes before its weights, which hold the SHA-256 of each of them. Rows of the pool
// are not stored: they follow from the cache.
#ifndef PITH_SESSION_SESSION_STATE_H
#define PITH_SESSION_SESSION_STATE_H

#include "ground/saved_state.h"
#include "session/session.h"

namespace pith::internal {

constexpr SavedKind kSessionState{"PITHSTAT", 3, "session", "of another model"};

struct SessionStateHeader {
  SavedHeader saved;
  uint64_t attention, cache, activations, capacity, n_keep, n_rows;  // options; must be the session's own
  uint64_t position, has_logits, cache_bytes;
};
static_assert(sizeof(SessionStateHeader) == 112);

size_t max_state_bytes(const pith_session& session);

// `out` [max_state_bytes]; returns the bytes written.
size_t save_state(const pith_session& session, uint8_t* out);

// Checks everything before it touches the session. PITH_E_SAVED_VALUE: the hashes are right and the content is not; the
// session has forgotten all tokens. Any other failure: the session is as it was.
pith_status restore_state(pith_session* session, const uint8_t* state, size_t n, pith_error* error);

}  // namespace pith::internal

#endif
