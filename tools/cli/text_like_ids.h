// Token ids that repeat as real text does, to fill a context with.
#ifndef PITH_CLI_TEXT_LIKE_IDS_H
#define PITH_CLI_TEXT_LIKE_IDS_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pith::cli {

// n ids in [0, vocab_size), vocab_size > 0: a Zipf-Mandelbrot unigram with a cache (Kuhn and De Mori, 1990). Each id is,
// by the toss of a coin,
//   - the id at a lag of 2 .. 131,071 positions, log-uniform (an octave of 16, then a place in it), if the text reaches
//     back so far: what was said lately is said again; or else
//   - an id drawn from the unigram: rank k = 1 .. 50,304 with weight (k + 1.5)^(-9/8), and the ranks are a random
//     permutation of the vocabulary. In a smaller vocabulary a rank beyond it is a rare word, spelled in pieces that are
//     more frequent: below(1 + below(vocab_size)), where below(n) is uniform in [0, n).
// For a vocabulary of 50k its means stay within 5 % of the distinct ids of WikiText-2 at 256 .. 32k tokens, 145 .. 5176,
// within 0.04 of the share of ids seen once, and within 4 points of the share of the 64 most frequent ids. Longer texts
// begin with the shorter ones of the same seed. A seed gives the same ids on every machine.
std::vector<int32_t> text_like_ids(size_t n, int32_t vocab_size, uint64_t seed);

}  // namespace pith::cli

#endif
