// Token ids that repeat as real text does, to fill a context with.
#ifndef PITH_CLI_TOKEN_SOURCE_H
#define PITH_CLI_TOKEN_SOURCE_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pith::cli {

// n ids below vocab_size. Position t brings a new id with the probability that makes the count of distinct ids grow as
// U = 2.44 t^0.737 (measured on WikiText-2 with a 50k vocabulary), and otherwise repeats the id of an earlier position drawn
// uniformly, which makes frequent ids more frequent, as in text.
std::vector<int32_t> text_like_tokens(size_t n, uint32_t vocab_size, uint64_t seed);

}  // namespace pith::cli

#endif
