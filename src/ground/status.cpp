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
  if (!is_aligned(memory))
    return fail(error, PITH_E_ALIGNMENT, what, ": memory is not aligned to 64 bytes; see pith_alignment_shift");
  if (have < need)
    return fail(error, PITH_E_MEMORY, what, ": needs ", uint64_t(need), " bytes of memory, has ", uint64_t(have));
  return PITH_OK;
}

pith_status check_arguments(std::initializer_list<Argument> arguments, pith_error* error) {
  for (const Argument& argument : arguments) {
    if (argument.address == nullptr) return fail(error, PITH_E_ARGUMENT, "argument ", argument.name, ": is NULL");
  }
  return PITH_OK;
}

pith_status check_capacity(const char* what, size_t capacity, size_t need, pith_error* error) {
  if (capacity >= need) return PITH_OK;
  return fail(error, PITH_E_CAPACITY, "argument capacity: ", what, " needs ", uint64_t(need), ", has ",
              uint64_t(capacity));
}

}  // namespace pith::internal
