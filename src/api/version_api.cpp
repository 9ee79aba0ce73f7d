// The C ABI of no object: version, statuses, alignment.
#include "ground/status.h"

#define PITH_STRINGIFY_(x) #x
#define PITH_STRINGIFY(x) PITH_STRINGIFY_(x)

extern "C" {

const char* pith_version(void) {
  return PITH_STRINGIFY(PITH_VERSION_MAJOR) "." PITH_STRINGIFY(PITH_VERSION_MINOR) "." PITH_STRINGIFY(
      PITH_VERSION_PATCH);
}

uint32_t pith_version_number(void) { return PITH_VERSION_NUMBER; }

const char* pith_status_string(pith_status status) {
  switch (status) {
    case PITH_OK: return "ok";
    case PITH_E_ARGUMENT: return "argument out of range";
    case PITH_E_ABI: return "a struct of another version";
    case PITH_E_MEMORY: return "not enough memory handed in";
    case PITH_E_ALIGNMENT: return "misaligned address";
    case PITH_E_STATE: return "not possible in this state";
    case PITH_E_BUSY: return "in use by another thread";
    case PITH_E_CAPACITY: return "output buffer too small";
    case PITH_E_CANCELLED: return "the evaluation was cancelled";
    case PITH_E_TRUNCATED: return "file is truncated";
    case PITH_E_MAGIC: return "not a GGUF file";
    case PITH_E_VERSION: return "unsupported GGUF version";
    case PITH_E_ENDIAN: return "big-endian file";
    case PITH_E_LIMIT: return "count or length beyond the limit";
    case PITH_E_KEY: return "invalid key or name";
    case PITH_E_DUPLICATE: return "duplicate key or name";
    case PITH_E_TYPE: return "wrong or unknown type";
    case PITH_E_VALUE: return "value outside its type";
    case PITH_E_OFFSET: return "invalid alignment or offset in the file";
    case PITH_E_DIMS: return "invalid tensor dimensions";
    case PITH_E_OVERFLOW: return "size overflows";
    case PITH_E_OVERLAP: return "tensors overlap";
    case PITH_E_ARCHITECTURE: return "unknown architecture";
    case PITH_E_MISSING: return "required key or tensor is missing";
    case PITH_E_HPARAM: return "hyper-parameter out of range";
    case PITH_E_SHAPE: return "tensor has the wrong shape";
    case PITH_E_UNSUPPORTED: return "unsupported feature";
    case PITH_E_VOCABULARY: return "inconsistent vocabulary";
    case PITH_E_NOT_PACKED: return "model is not packed";
    case PITH_E_SPLIT: return "model is split over several files";
    case PITH_E_SAVED_TRUNCATED: return "state is truncated or too long";
    case PITH_E_SAVED_KIND: return "not a state of this kind of object";
    case PITH_E_SAVED_VERSION: return "state of a version that is not read";
    case PITH_E_SAVED_CHECKSUM: return "state is damaged";
    case PITH_E_SAVED_MISMATCH: return "state of another model or of other options";
    case PITH_E_SAVED_VALUE: return "state of no such object";
    case PITH_E_NUMERIC: return "NaN or infinity";
    case PITH_E_GRAMMAR: return "malformed grammar or schema";
    case PITH_E_TOKEN: return "the token does not fit the grammar";
    case PITH_E_NO_TOKEN: return "no token fits the grammar";
  }
  return "unknown status";
}

size_t pith_alignment_shift(const void* address) {
  return size_t(0 - reinterpret_cast<uintptr_t>(address)) % PITH_ALIGNMENT;
}

}  // extern "C"
