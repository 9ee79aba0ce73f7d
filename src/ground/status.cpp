#include "ground/status.h"

namespace pith::internal {

size_t Piece::append(char* out, size_t capacity, size_t used) const {
  char digits[21];  // a minus sign and 20 digits of a 64-bit number
  std::string_view text = text_;
  if (is_number_) {
    size_t at = sizeof digits;
    uint64_t rest = number_;
    do {
      digits[--at] = char('0' + rest % 10);
      rest /= 10;
    } while (rest != 0);
    if (minus_) digits[--at] = '-';
    text = std::string_view(digits + at, sizeof digits - at);
  }
  for (const char c : text) {
    const bool printable = c >= 32 && c < 127;
    const size_t need = printable ? 1 : 4;
    if (used + need > capacity) break;
    if (printable) {
      out[used] = c;
    } else {  // \xNN: file bytes must not reach a terminal as they are
      const char* hex = "0123456789abcdef";
      out[used] = '\\';
      out[used + 1] = 'x';
      out[used + 2] = hex[uint8_t(c) >> 4];
      out[used + 3] = hex[uint8_t(c) & 15];
    }
    used += need;
  }
  return used;
}

pith_status fail_pieces(pith_error* error, pith_status status, const Piece* pieces, size_t n_pieces) {
  if (error == nullptr) return status;
  size_t used = 0;
  for (size_t i = 0; i < n_pieces; ++i) used = pieces[i].append(error->message, sizeof error->message - 1, used);
  error->message[used] = '\0';
  return status;
}

pith_status check_memory(const char* what, const void* memory, size_t have, size_t need, pith_error* error) {
  if (memory == nullptr) return fail(error, PITH_E_ARGUMENT, what, ": memory is NULL");
  if (!is_aligned(memory)) return fail(error, PITH_E_ALIGNMENT, what, ": memory is not aligned to 64 bytes");
  if (have < need)
    return fail(error, PITH_E_MEMORY, what, ": needs ", uint64_t(need), " bytes of memory, has ", uint64_t(have));
  return PITH_OK;
}

}  // namespace pith::internal

extern "C" const char* pith_status_string(pith_status status) {
  switch (status) {
    case PITH_OK: return "ok";
    case PITH_E_ARGUMENT: return "argument out of range";
    case PITH_E_ABI: return "struct_size is unknown to this version";
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
    case PITH_E_ALIGN: return "invalid alignment in the file";
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
    case PITH_E_NUMERIC: return "NaN or infinity";
    case PITH_E_CHECKSUM: return "checksum mismatch";
  }
  return "unknown status";
}
