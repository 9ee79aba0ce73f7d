// Numbers of JSON within bounds, as programs.
#ifndef PITH_GRAMMAR_NUMBER_RANGE_H
#define PITH_GRAMMAR_NUMBER_RANGE_H

#include <string_view>

#include "grammar/program_writer.h"

namespace pith::internal {

// What a number of JSON is, rounded down.
struct Decimal {
  int64_t floor = 0;
  bool is_integer = true;
};
// false: its magnitude is 10^18 or more.
bool read_decimal(std::string_view text, Decimal* out);

// least .. most, either or none of them given, of magnitudes below 10^18.
struct Bounds {
  static constexpr int64_t kNoLeast = INT64_MIN, kNoMost = INT64_MAX;
  int64_t least = kNoLeast, most = kNoMost;
  bool is_bounded() const { return least != kNoLeast || most != kNoMost; }
};

// Integers within the bounds, of at most 18 digits.
void put_integers(ProgramWriter* writer, const Bounds& bounds);
// Numbers with a fraction of 1 to 17 digits, the last of which is not 0, and no exponent, that lie between the bounds.
void put_fractions(ProgramWriter* writer, const Bounds& bounds);

}  // namespace pith::internal

#endif
