// What the saved states of all objects have in common.
//
//   8 bytes: kind | u32 version | u32 reserved = 0 | u64 bytes in all | u64 owner | u64 hash of the rest | the rest
//
// Little-endian. The owner is what the object cannot change, such as its model. The hash is FNV-1a of 64 bits: it keeps
// accidents out, and an enemy not; whoever reads the rest trusts none of it.
#ifndef PITH_GROUND_SAVED_STATE_H
#define PITH_GROUND_SAVED_STATE_H

#include <cstddef>
#include <cstdint>

#include "ground/status.h"

namespace pith::internal {

struct SavedHeader {
  char kind[8];
  uint32_t version, reserved;
  uint64_t bytes, owner, hash;
};
static_assert(sizeof(SavedHeader) == 40);

// One kind of state: the letters that it begins with, and its names in sentences.
struct SavedKind {
  char letters[9];
  uint32_t version;
  const char* object;  // "session"
  const char* owner;   // "of another model"
};

uint64_t fnv1a(const uint8_t* bytes, size_t n);

// Puts the header before what stands in state + sizeof(SavedHeader) already; n bytes in all.
void seal_state(const SavedKind& kind, uint64_t owner, uint8_t* state, size_t n);

// Whether `state` [n] is a whole, undamaged one of this kind and owner, of `least` bytes or more.
pith_status check_state(const SavedKind& kind, uint64_t owner, const uint8_t* state, size_t n, size_t least,
                        pith_error* error);

}  // namespace pith::internal

#endif
