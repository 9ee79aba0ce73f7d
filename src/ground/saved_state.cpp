#include "ground/saved_state.h"

#include <cstring>

namespace pith::internal {

uint64_t fnv1a(const uint8_t* bytes, size_t n) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (size_t i = 0; i < n; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3ull;
  return hash;
}

void seal_state(const SavedKind& kind, uint64_t owner, uint8_t* state, size_t n) {
  SavedHeader h{};
  std::memcpy(h.kind, kind.letters, sizeof h.kind);
  h.version = kind.version;
  h.bytes = n;
  h.owner = owner;
  h.hash = fnv1a(state + sizeof h, n - sizeof h);
  std::memcpy(state, &h, sizeof h);
}

pith_status check_state(const SavedKind& kind, uint64_t owner, const uint8_t* state, size_t n, size_t least,
                        pith_error* error) {
  SavedHeader h;
  if (n < sizeof h)
    return fail(error, PITH_E_SAVED_TRUNCATED, "state: ", uint64_t(n), " bytes are less than its header");
  std::memcpy(&h, state, sizeof h);
  if (std::memcmp(h.kind, kind.letters, sizeof h.kind) != 0)
    return fail(error, PITH_E_SAVED_KIND, "state: not a state of a pith ", kind.object);
  if (h.version != kind.version)
    return fail(error, PITH_E_SAVED_VERSION, "state: version ", h.version, "; this library reads version ",
                kind.version);
  if (h.bytes != n)
    return fail(error, PITH_E_SAVED_TRUNCATED, "state: ", uint64_t(n), " bytes, but it was written with ", h.bytes);
  if (h.reserved != 0 || h.hash != fnv1a(state + sizeof h, n - sizeof h))
    return fail(error, PITH_E_SAVED_CHECKSUM, "state: its bytes do not have the stored hash");
  if (h.owner != owner) return fail(error, PITH_E_SAVED_MISMATCH, "state: ", kind.owner);
  if (n < least) return fail(error, PITH_E_SAVED_TRUNCATED, "state: ", uint64_t(n), " bytes are less than its header");
  return PITH_OK;
}

}  // namespace pith::internal
