#include "grammar/number_range.h"

#include <algorithm>

namespace pith::internal {
namespace {

constexpr int64_t kMost = 999999999999999999;  // 18 digits

int64_t power_of_10(uint32_t n) {
  int64_t out = 1;
  for (; n > 0; --n) out *= 10;
  return out;
}

void put_any_digits(ProgramWriter* writer, uint32_t n) {
  for (; n > 0; --n) writer->put_byte('0', '9');
}

// least .. most in n digits, leading zeros included. One call for each of at most 18 digits.
// NOLINTNEXTLINE(misc-no-recursion)
void put_digits(ProgramWriter* writer, int64_t least, int64_t most, uint32_t n) {
  if (n == 0) return;
  const int64_t unit = power_of_10(n - 1);
  const int64_t low = least / unit, high = most / unit;
  const bool cuts_low = least % unit != 0, cuts_high = most % unit != unit - 1;
  const auto digit = [&](int64_t first, int64_t last) { writer->put_byte(uint8_t('0' + first), uint8_t('0' + last)); };
  if (low == high) {
    digit(low, low);
    return put_digits(writer, least % unit, most % unit, n - 1);
  }
  ProgramWriter::Alternatives either = writer->begin_alternatives();
  bool is_first = true;
  const auto begin = [&] {
    if (!is_first) writer->next_alternative(&either);
    is_first = false;
  };
  if (cuts_low) {
    begin();
    digit(low, low);
    put_digits(writer, least % unit, unit - 1, n - 1);
  }
  const int64_t first = low + (cuts_low ? 1 : 0), last = high - (cuts_high ? 1 : 0);
  if (first <= last) {
    begin();
    digit(first, last);
    put_any_digits(writer, n - 1);
  }
  if (cuts_high) {
    begin();
    digit(high, high);
    put_digits(writer, 0, most % unit, n - 1);
  }
  writer->end_alternatives(either);
}

// 0 <= least; without leading zeros.
void put_naturals(ProgramWriter* writer, int64_t least, int64_t most) {
  if (least > most) return writer->put_fail();
  ProgramWriter::Alternatives either = writer->begin_alternatives();
  bool is_first = true;
  for (uint32_t n = 1; n <= 18; ++n) {
    const int64_t from = std::max(least, n == 1 ? 0 : power_of_10(n - 1)), to = std::min(most, power_of_10(n) - 1);
    if (from > to) continue;
    if (!is_first) writer->next_alternative(&either);
    is_first = false;
    put_digits(writer, from, to, n);
  }
  writer->end_alternatives(either);
}

}  // namespace

bool read_decimal(std::string_view text, Decimal* out) {
  const bool is_negative = text.starts_with('-');
  int64_t exponent = 0;
  size_t n = 0;  // of the mantissa with its sign and point
  while (n < text.size() && text[n] != 'e' && text[n] != 'E') ++n;
  if (n < text.size()) {
    const bool is_down = text[n + 1] == '-';
    for (size_t i = n + (text[n + 1] == '-' || text[n + 1] == '+' ? 2 : 1); i < text.size(); ++i)
      exponent = std::min(exponent * 10 + (text[i] - '0'), int64_t(1) << 30);
    if (is_down) exponent = -exponent;
  }
  size_t n_whole = is_negative ? 1 : 0;
  const size_t first = n_whole;
  while (n_whole < n && text[n_whole] != '.') ++n_whole;
  int64_t point = int64_t(n_whole - first) + exponent;  // digits of the mantissa in front of it
  int64_t value = 0;
  *out = {};
  for (size_t i = first; i < n; ++i) {
    if (text[i] == '.') continue;
    const int64_t digit = text[i] - '0';
    if (point-- <= 0) {
      out->is_integer = out->is_integer && digit == 0;
      continue;
    }
    value = value * 10 + digit;
    if (value > kMost) return false;
  }
  for (; point > 0 && value != 0; --point) {
    value *= 10;
    if (value > kMost) return false;
  }
  out->floor = is_negative ? -value - (out->is_integer ? 0 : 1) : value;
  return true;
}

void put_integers(ProgramWriter* writer, const Bounds& bounds) {
  const int64_t least = bounds.least == Bounds::kNoLeast ? -kMost : bounds.least;
  const int64_t most = bounds.most == Bounds::kNoMost ? kMost : bounds.most;
  ProgramWriter::Alternatives either = writer->begin_alternatives();
  put_naturals(writer, std::max(least, int64_t(0)), most);
  writer->next_alternative(&either);
  writer->put_text("-");
  put_naturals(writer, std::max(-most, int64_t(1)), -least);
  writer->end_alternatives(either);
}

void put_fractions(ProgramWriter* writer, const Bounds& bounds) {
  const int64_t least = bounds.least == Bounds::kNoLeast ? -kMost : bounds.least;
  const int64_t most = bounds.most == Bounds::kNoMost ? kMost : bounds.most;
  const auto put_fraction = [&] {  // more than 0 and less than 1
    writer->put_text(".");
    const uint32_t begin = writer->here();
    writer->put_byte('0', '9');
    writer->repeat(begin, 0, 16);
    writer->put_byte('1', '9');
  };
  ProgramWriter::Alternatives either = writer->begin_alternatives();
  put_naturals(writer, std::max(least, int64_t(0)), most - 1);
  put_fraction();
  writer->next_alternative(&either);
  writer->put_text("-");
  put_naturals(writer, std::max(-most, int64_t(0)), -least - 1);
  put_fraction();
  writer->end_alternatives(either);
}

}  // namespace pith::internal
