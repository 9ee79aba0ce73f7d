// Sums of the dots of four heads, for the tiers with AVX2. Included in a tier's anonymous namespace. No include guard: one
// inclusion per tier.

using HeadSums = __m256i;
using Heads = __m128i;

PITH_INLINE HeadSums zero_sums() { return _mm256_setzero_si256(); }
PITH_INLINE Heads load_heads(const int32_t* x) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(x)); }
PITH_INLINE void store_heads(Heads heads, int32_t* out) { _mm_storeu_si128(reinterpret_cast<__m128i*>(out), heads); }
PITH_INLINE Heads subtract_heads(Heads a, Heads b) { return _mm_sub_epi32(a, b); }
PITH_INLINE Heads join_heads(const HeadSums (&sums)[4]) {
  const __m256i halves = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
  return _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
}
