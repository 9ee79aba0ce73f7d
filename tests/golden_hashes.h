/* What all CPUs, systems and threads agree on: hashes (FNV-1a, 64 bits, over the bytes of the logits) of tests/golden/tiny.q4.gguf
 * in a ring of 80 tokens of which 3 are pinned. A change of a number here is a change of every user's results. */
#ifndef PITH_TESTS_GOLDEN_HASHES_H
#define PITH_TESTS_GOLDEN_HASHES_H

#define PITH_TINY_HASH 16987406302539525027ull /* of 100 tokens, after each */
#define PITH_TINY_PROMPT_HASH \
  12950546575678354689ull /* a prompt in chunks of 50, 50 and 20, of which two wrap, then 4 tokens */

/* The i-th of these tokens, for a vocabulary of that size. */
#define PITH_GOLDEN_TOKEN(i, vocab_size) (((i) * (i)*7 + (i) / 3) % 97 * 21 % (vocab_size))

#endif
