#include "grammar/character_set.h"

namespace pith::internal {

void CharacterSet::add(uint32_t first, uint32_t last) {
  uint32_t from = 0;  // ranges [from, to) touch the new one and become part of it
  while (from < n_ && ranges_[from].last + 1 < first) ++from;
  uint32_t to = from;
  for (; to < n_ && ranges_[to].first <= last + 1; ++to) {
    if (ranges_[to].first < first) first = ranges_[to].first;
    if (ranges_[to].last > last) last = ranges_[to].last;
  }
  if (to == from) {
    if (n_ == kMaxRanges) {
      is_full_ = true;
      return;
    }
    for (uint32_t i = n_; i > from; --i) ranges_[i] = ranges_[i - 1];
    ++n_;
  } else {
    for (uint32_t i = to; i < n_; ++i) ranges_[from + 1 + i - to] = ranges_[i];
    n_ -= to - from - 1;
  }
  ranges_[from] = {first, last};
}

void CharacterSet::add(const CharacterSet& other) {
  for (uint32_t i = 0; i < other.n_; ++i) add(other.ranges_[i].first, other.ranges_[i].last);
  is_full_ = is_full_ || other.is_full_;
}

void CharacterSet::negate() {
  uint32_t next = 0, n = 0;  // the first character behind the ranges so far; ranges that were written
  for (uint32_t i = 0; i < n_; ++i) {
    const Range r = ranges_[i];
    if (r.first > next) ranges_[n++] = {next, r.first - 1};
    next = r.last + 1;
  }
  if (next <= kMaxCharacter) {
    if (n == kMaxRanges) is_full_ = true;
    else ranges_[n++] = {next, kMaxCharacter};
  }
  n_ = n;
}

// One range of which both ends stay becomes two, so that there is one more, and no other place for it is needed.
void CharacterSet::remove(uint32_t first, uint32_t last) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < n_; ++i) {
    const Range r = ranges_[i];
    if (r.first < first && r.last > last) {
      ranges_[i].last = first - 1;
      return add(last + 1, r.last);
    }
    if (r.first < first) ranges_[n++] = {r.first, r.last < first ? r.last : first - 1};
    else if (r.last > last) ranges_[n++] = {r.first > last ? r.first : last + 1, r.last};
  }
  n_ = n;
}

void CharacterSet::keep(uint32_t first, uint32_t last) {
  if (first > 0) remove(0, first - 1);
  if (last < kMaxCharacter) remove(last + 1, kMaxCharacter);
}

bool CharacterSet::has(uint32_t character) const {
  for (uint32_t i = 0; i < n_; ++i) {
    if (character <= ranges_[i].last) return character >= ranges_[i].first;
  }
  return false;
}

}  // namespace pith::internal
