// Statuses inside the library: a status and the sentence for the caller's pith_error.
#ifndef PITH_GROUND_STATUS_H
#define PITH_GROUND_STATUS_H

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "ground/alignment.h"
#include "pith/pith.h"

namespace pith::internal {

// A piece of an error sentence: text, or a number in decimal.
class Piece {
 public:
  Piece(const char* text) : text_(text) {}
  Piece(std::string_view text) : text_(text) {}
  template <std::integral Number>  // whichever of them uint64_t and size_t are
  Piece(Number number)
      : number_(number < 0 ? 0 - uint64_t(number) : uint64_t(number)), is_number_(true), minus_(number < 0) {}

  // Appends to `out` [capacity] from `used` on, cutting what does not fit and escaping what is not printable ASCII.
  size_t append(char* out, size_t capacity, size_t used) const;

 private:
  std::string_view text_;
  uint64_t number_ = 0;
  bool is_number_ = false, minus_ = false;
};

// Writes the pieces as one sentence into `error` (may be NULL) and returns `status`.
pith_status fail_pieces(pith_error* error, pith_status status, const Piece* pieces, size_t n_pieces);

template <typename... Pieces>
pith_status fail(pith_error* error, pith_status status, const Pieces&... pieces) {
  const Piece list[] = {Piece(pieces)...};
  return fail_pieces(error, status, list, sizeof...(pieces));
}

static_assert(kAlignment == PITH_ALIGNMENT);

// Empties the sentence of an earlier call: every function of the C ABI that takes a pith_error begins so.
inline void clear(pith_error* error) {
  if (error != nullptr) error->message[0] = '\0';
}

// The memory that a caller handed in for `what`.
pith_status check_memory(const char* what, const void* memory, size_t have, size_t need, pith_error* error);

// Arguments of a call that must not be NULL.
struct Argument {
  const char* name;
  const void* address;
};
pith_status check_arguments(std::initializer_list<Argument> arguments, pith_error* error);

// The room that a caller gave for `what`.
pith_status check_capacity(const char* what, size_t capacity, size_t need, pith_error* error);

}  // namespace pith::internal

// Returns from the enclosing function if `expression` is not PITH_OK.
#define PITH_TRY(expression)                                                          \
  do {                                                                                \
    if (const pith_status status_ = (expression); status_ != PITH_OK) return status_; \
  } while (0)

#endif
