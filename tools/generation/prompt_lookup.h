// Prompt lookup: what a text may go on with, from the text so far. Where its last tokens stood before, what followed
// them then is a draft of what follows now: names, quotations, code that is edited, what a summary takes over.
#ifndef PITH_GENERATION_PROMPT_LOOKUP_H
#define PITH_GENERATION_PROMPT_LOOKUP_H

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pith {

class PromptLookup {
 public:
  // Tokens at the end of a text that are looked for: fewer than kShortest happen to recur anywhere, and more than
  // kLongest say no more.
  static constexpr size_t kShortest = 2, kLongest = 8;

  struct Draft {
    std::span<const int32_t> tokens;  // into the text; none where its end has not been there before
    size_t n_matching;                // tokens at the end that stood before them: kShortest .. kLongest
  };

  void add(int32_t token) { text_.push_back(token); }
  void drop_last() { text_.pop_back(); }
  void clear() { text_.clear(); }

  // At most `n` tokens: those after the place whose tokens before it agree with the most of the end; of several, the
  // latest.
  Draft draft(size_t n) const;

 private:
  std::vector<int32_t> text_;
};

}  // namespace pith

#endif
