// How a text is split into pieces before each is merged by itself: one entry for every published pattern, under the
// name that tokenizer.ggml.pre has for it.
#ifndef PITH_TEXT_PRE_TOKENIZER_H
#define PITH_TEXT_PRE_TOKENIZER_H

#include <cstddef>
#include <string_view>

namespace pith::internal {

// One step of splitting: the length in bytes of the first piece of a text, 0 for no text. It looks at nothing in front
// of the text, so the pieces of a text are found one after the other. Splitting all of a text takes linear time.
using SplitStep = size_t (*)(std::string_view text);

constexpr int kMaxSplitSteps = 6;

struct PreTokenizer {
  const char* name;
  bool whole_pieces;                // a piece that is a token is that one, whatever the merges make of it
  SplitStep steps[kMaxSplitSteps];  // each splits every piece of the step before; NULL beyond the last
};

const PreTokenizer* find_pre_tokenizer(std::string_view name);  // NULL: not known here

// Walks the pieces of a text.
class Pieces {
 public:
  Pieces(const PreTokenizer& by, std::string_view text) : by_(by), text_(text) {}
  bool next(std::string_view* piece);

 private:
  const PreTokenizer& by_;
  std::string_view text_;
  size_t at_ = 0;
  size_t ends_[kMaxSplitSteps] = {};  // of the piece at `at_`, step by step
};

}  // namespace pith::internal

#endif
