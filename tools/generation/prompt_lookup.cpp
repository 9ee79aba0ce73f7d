#include "prompt_lookup.h"

#include <algorithm>

namespace pith {

PromptLookup::Draft PromptLookup::draft(size_t n) const {
  const size_t size = text_.size();
  size_t best = 0, n_matching = kShortest - 1;
  for (size_t end = size; end-- > kShortest && n_matching < kLongest;) {  // text_[end] would follow
    size_t n_same = 0;
    while (n_same < std::min(end, kLongest) && text_[end - 1 - n_same] == text_[size - 1 - n_same]) ++n_same;
    if (n_same <= n_matching) continue;
    best = end;
    n_matching = n_same;
  }
  if (best == 0) return {{}, 0};
  return {std::span(text_).subspan(best, std::min(n, size - best)), n_matching};
}

}  // namespace pith
